package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"time"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

// An outbox is a folder of mails that are to be sent, for whatever sends mails on the machine. A program with a mail server hands
// them to that, by net/smtp.
type outbox struct{ dir string }

// send writes a mail with a link to set a new password. The link is a secret, so nobody else can read the file.
func (o outbox) send(_ context.Context, m authhttp.ResetMail) error {
	to := mail.Address{Name: m.User.FullName(), Address: m.To}
	var b bytes.Buffer
	fmt.Fprintf(&b, "To: %s\r\nFrom: Notice board <noreply@localhost>\r\nSubject: Your new password\r\nDate: %s\r\n", to.String(), time.Now().Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\n\r\nSet a new password for %s here, within an hour:\r\n\r\n%s\r\n", m.User.Username, m.URL)
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(o.dir, "new-*.part") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), f.Name()+".eml")
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
