// What the pages can do with script. All of it can be done without.
"use strict";
(() => {
  // Search while somebody types: the list is fetched and put in place of the old one.
  const form = document.querySelector("form[data-live]");
  if (form) {
    const into = document.getElementById(form.dataset.live);
    const said = document.getElementById("said"); // stays, so that screen readers notice what is new in it
    let timer, running, shown = new URLSearchParams(new FormData(form)).toString();
    const search = async () => {
      const query = new URLSearchParams(new FormData(form));
      for (const [name, value] of [...query]) if (!value) query.delete(name);
      if (query.toString() === shown) return;
      running?.abort();
      running = new AbortController();
      const mine = running;
      into.setAttribute("aria-busy", "true");
      try {
        const live = new URLSearchParams(query);
        live.set("live", "1");
        const answer = await fetch(form.action + "?" + live, { signal: mine.signal, headers: { "X-Requested-With": "fetch" } });
        if (!answer.ok || answer.redirected) throw new Error(answer.status);
        const text = await answer.text();
        shown = query.toString();
        const parsed = new DOMParser().parseFromString(text, "text/html");
        into.replaceChildren(...parsed.body.childNodes);
        history.replaceState(null, "", form.action + (shown ? "?" + shown : ""));
        selectable(into);
        said.textContent = into.querySelector("caption")?.textContent ?? "";
      } catch (err) {
        if (err.name !== "AbortError") form.submit(); // the page itself says what is wrong
      } finally {
        if (running === mine) into.removeAttribute("aria-busy");
      }
    };
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 180); });
  }

  // One box for all rows of a list.
  const selectable = (within) => {
    for (const table of within.querySelectorAll("table[data-select]")) {
      const boxes = [...table.querySelectorAll("tbody input[type=checkbox]")];
      const head = table.querySelector("thead th.tick");
      if (!boxes.length || !head) continue;
      const all = document.createElement("input");
      all.type = "checkbox";
      all.setAttribute("aria-label", "Choose all on this page");
      head.replaceChildren(all);
      const sync = () => {
        const n = boxes.filter((b) => b.checked).length;
        all.checked = n === boxes.length;
        all.indeterminate = n > 0 && n < boxes.length;
      };
      all.addEventListener("change", () => boxes.forEach((b) => { b.checked = all.checked; }));
      boxes.forEach((b) => b.addEventListener("change", sync));
      sync();
    }
  };
  selectable(document);

  // Ask before what cannot be taken back and has no page that asks.
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset?.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });

  // A link that is shown once is easily copied.
  for (const field of document.querySelectorAll("input[data-copy]")) {
    field.addEventListener("focus", () => field.select());
    if (!navigator.clipboard) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain small";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    });
    field.after(button);
  }
})();
