//go:build ignore

// This program writes list.bin, the list of common passwords; see README.md for
// where its two inputs come from.
//
//	go run gen.go -django common-passwords.txt.gz -zxcvbn passwords.json
package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// The inputs that the list was made from. Others are refused, so that a change of
// the list is a change of this file.
const (
	djangoSum = "d09aeaab103c5e3c85054e907862a0b1750b84e04e31a1679f23fd42c99cbbbd"
	zxcvbnSum = "f422773d94d630f27e08b26d7017e847bb1feb2a84809340e9c0b0c47b33e3f1"
)

const (
	block    = 16 // entries that share one place in the index; see commonpw.go
	maxEntry = 64 // bytes; longer entries are left out
	shortest = 8  // code points; shorter ones are taken from Django's list only
	long     = 15 // code points; the default minimum length
	longest  = 32 // code points of a made-up entry
)

func main() {
	log.SetFlags(0)
	django := flag.String("django", "", "Django's common-passwords.txt.gz")
	zxcvbn := flag.String("zxcvbn", "", "passwords.json of zxcvbn-ts")
	out := flag.String("o", "list.bin", "file to write")
	flag.Parse()

	set := make(map[string]bool)
	ranked := readZxcvbn(*zxcvbn)
	for _, s := range readDjango(*django) {
		add(set, s, 0)
	}
	for _, s := range ranked {
		add(set, s, shortest)
	}
	measured := count(set)
	for s := range madeUp(ranked) {
		add(set, s, long)
	}
	list := slices.Sorted(maps.Keys(set))
	if err := os.WriteFile(*out, pack(list), 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d entries; of the sources, by least length 1, 8 and 15: %v; with made-up ones: %v\n",
		len(list), measured, count(set))
	fmt.Printf("SHA-256 of the entries, a newline after each: %x\n",
		sha256.Sum256([]byte(strings.Join(list, "\n")+"\n")))
}

func add(set map[string]bool, s string, least int) {
	s = strings.TrimSpace(strings.ToLower(s))
	if s != "" && len(s) <= maxEntry && utf8.ValidString(s) && utf8.RuneCountInString(s) >= least {
		set[s] = true
	}
}

func count(set map[string]bool) (n [3]int) {
	for s := range set {
		for i, least := range []int{1, shortest, long} {
			if utf8.RuneCountInString(s) >= least {
				n[i]++
			}
		}
	}
	return n
}

func read(name, sum string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		log.Fatal(err)
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
		log.Fatalf("%s: SHA-256 is %x, want %s", name, got, sum)
	}
	return data
}

func readDjango(name string) (list []string) {
	zr, err := gzip.NewReader(bytes.NewReader(read(name, djangoSum)))
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(zr)
	for lines.Scan() {
		list = append(list, lines.Text())
	}
	if lines.Err() != nil {
		log.Fatal(lines.Err())
	}
	return list
}

// readZxcvbn returns passwords, the most common first.
func readZxcvbn(name string) (list []string) {
	if err := json.Unmarshal(read(name, zxcvbnSum), &list); err != nil {
		log.Fatal(err)
	}
	return list
}

// pack writes each entry as the number of bytes it shares with the one before,
// the number of its other bytes, and these; the first of each block shares
// nothing. The whole is compressed.
func pack(list []string) []byte {
	var plain, packed bytes.Buffer
	prev := ""
	for i, s := range list {
		if i%block == 0 {
			prev = ""
		}
		n := 0
		for n < len(s) && n < len(prev) && s[n] == prev[n] {
			n++
		}
		plain.Write([]byte{byte(n), byte(len(s) - n)})
		plain.WriteString(s[n:])
		prev = s
	}
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		log.Fatal(err)
	}
	w.Write(plain.Bytes())
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return packed.Bytes()
}

// madeUp returns what people type when a short favourite must become long: the
// favourite several times, two favourites, one with a run of digits, walks over
// the keyboard. No source with enough measured passwords of this length may be
// redistributed with this module.
func madeUp(ranked []string) map[string]bool {
	set := make(map[string]bool)
	put := func(s string) {
		if n := utf8.RuneCountInString(s); long <= n && n <= longest {
			set[s] = true
		}
	}
	for i, s := range ranked[:2000] {
		for k := 2; k*len(s) < long+len(s); k++ {
			put(strings.Repeat(s, k))
		}
		for _, run := range []string{"1", "12", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "!", "123!", "1!"} {
			put(s + run)
			put(run + s)
		}
		if i >= 60 {
			continue
		}
		for _, t := range ranked[:60] {
			put(s + t)
			if i < 12 {
				for _, u := range ranked[:12] {
					put(s + t + u)
				}
			}
		}
	}
	for c := ' ' + 1; c <= '~'; c++ {
		for n := long; n <= longest; n++ {
			put(strings.Repeat(strings.ToLower(string(c)), n))
		}
	}
	for _, w := range walks() {
		for from := range len(w) {
			for to := from + long; to <= len(w); to++ {
				put(w[from:to])
			}
		}
	}
	return set
}

// walks returns paths over the keyboard and alphabet, each in both directions.
func walks() (all []string) {
	rows := []string{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"}
	const columns = "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p"
	both := "" // columns down and up in turn
	zigzag, pairs := "", ""
	for i := range 10 {
		col := ""
		for _, row := range rows {
			if i < len(row) {
				col += row[i : i+1]
			}
		}
		if i%2 == 1 {
			col = reverse(col)
		}
		both += col
		zigzag += rows[0][i:i+1] + rows[1][i:i+1]
		pairs += rows[1][i:i+1] + rows[0][i:i+1]
	}
	abc := "abcdefghijklmnopqrstuvwxyz"
	forward := []string{
		strings.Join(rows, ""), strings.Join(rows[1:], ""), strings.Repeat(rows[0], 3), strings.Repeat("0123456789", 3),
		strings.Repeat("123456789", 3), strings.Repeat(rows[1], 2), strings.Repeat("qwerty", 3), strings.Repeat("123", 8),
		strings.Repeat("1234", 6), strings.Repeat("12345", 5), strings.Repeat("123456", 4), strings.Repeat("12", 12),
		strings.Repeat("abc", 8), strings.Repeat("abc123", 4), strings.Repeat("123abc", 4),
		columns, both, zigzag, pairs, abc, abc + rows[0], rows[0] + abc, rows[1] + rows[0], rows[1] + "123456789",
		"qazwsxedcrfvtgbyhnujmikolp", "zaq1xsw2cde3vfr4bgt5nhy6mju7", "1q2w3e4r5t6y7u8i9o0p", "1a2b3c4d5e6f7g8h9i0j",
		"a1b2c3d4e5f6g7h8i9j0", "a1s2d3f4g5h6j7k8l9", "112233445566778899", "11223344556677889900", "111222333444555666777888999",
		"1122334455667788990011", "123456789012345678901234567890", "1234567890987654321", "123456789987654321", "12345678987654321",
		"qwertyuiop1234567890", "qwertyasdfghzxcvbn", "qwertasdfgzxcvb", "qweasdzxcrtyfghvbn", "qweasdzxc123456", "123qweasdzxcrty",
		"1234qwerasdfzxcv", "12345qwertasdfgzxcvb", "147258369147258369", "123789456123789456", "159753456852159753", "asdfghjklqwertyuiop",
		"1qazxsw23edcvfr45tgbnhy67ujm", "!@#$%^&*()_+", "!qaz@wsx#edc$rfv%tgb^yhn", "!@#$%^&*()1234567890", "1234567890!@#$%^&*()",
	}
	for _, w := range forward {
		all = append(all, w, reverse(w))
	}
	return all
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
