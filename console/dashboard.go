package console

import (
	"fmt"
	"net/http"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// chartDays is how far back the chart goes.
const chartDays = 14

// keepOverview is how long figures are shown before they are counted again.
const keepOverview = time.Minute

type dashboardData struct {
	Overview *latchbolt.Overview
	Chart    *chart
	Free     int // per cent of the file
	Refused  []auditRow
	Users    bool
}

func (v *view) dashboard() error {
	d := &dashboardData{Users: v.can.May("User", "")}
	if v.can.May("Overview", "") {
		var err error
		if d.Overview, err = v.c.figures(v); err != nil {
			return err
		}
		d.Chart = newChart(d.Overview.Days)
		if s := d.Overview.Stats; s.FileSize > 0 {
			d.Free = int(100 * s.FreeBytes / s.FileSize)
		}
		entries, _, _, err := v.admin.AuditPage(v.ctx, latchbolt.AuditQuery{Failed: latchbolt.Only}, 8)
		if err != nil {
			return err
		}
		if d.Refused, err = v.named(entries); err != nil {
			return err
		}
	}
	return v.show(http.StatusOK, "dashboard", v.newPage("Dashboard", d))
}

// figures returns the overview, which may be a minute old. Who asks must be allowed to see it now.
func (c *Console) figures(v *view) (*latchbolt.Overview, error) {
	if err := v.check("Overview", ""); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock() // one counts, the others wait for it
	if c.overview != nil && c.Auth.Engine.Now().Sub(c.taken) < keepOverview {
		return c.overview, nil
	}
	o, err := v.admin.Overview(v.ctx, chartDays)
	if err != nil {
		return nil, err
	}
	c.overview, c.taken = o, c.Auth.Engine.Now()
	return o, nil
}

// A chart is columns of logins and failures for each day, as shapes of an SVG.
type chart struct {
	Width, Height int
	Bars          []bar
	Lines         []gridLine
	Days          []latchbolt.Day
	Logins        int
	Failures      int
}

type bar struct {
	X, Y, Width, Height int
	Failed              bool
	Title               string
	Label               string // under the column; may be empty
	LabelX              int
}

type gridLine struct {
	Y     int
	Label string
}

const (
	chartLeft, chartTop, chartBottom = 44, 12, 26
	chartColumn                      = 44
	chartBody                        = 150
)

func newChart(days []latchbolt.Day) *chart {
	c := &chart{Width: chartLeft + chartColumn*len(days) + 8, Height: chartTop + chartBody + chartBottom, Days: days}
	top := 0
	for _, d := range days {
		top = max(top, d.Logins, d.Failures)
		c.Logins, c.Failures = c.Logins+d.Logins, c.Failures+d.Failures
	}
	top = roundUp(top)
	scale := func(n int) int {
		h := n * chartBody / top
		if n > 0 {
			h = max(h, 2) // to be seen at all
		}
		return h
	}
	for i := range 3 {
		n := top * i / 2
		c.Lines = append(c.Lines, gridLine{Y: chartTop + chartBody - scale(n), Label: countText(n)})
	}
	for i, d := range days {
		x := chartLeft + i*chartColumn
		date := d.Date.Format("2 Jan")
		label := ""
		if i%2 == len(days)%2 || len(days) < 8 {
			label = date
		}
		for k, n := range []int{d.Logins, d.Failures} {
			h := scale(n)
			b := bar{X: x + 6 + k*15, Y: chartTop + chartBody - h, Width: 13, Height: h, Failed: k == 1,
				Title: fmt.Sprintf("%s: %d %s", date, n, []string{"logins", "failures"}[k]), LabelX: x + chartColumn/2}
			if k == 0 {
				b.Label = label
			}
			c.Bars = append(c.Bars, b)
		}
	}
	return c
}

// roundUp returns an even number that is easy to read and not less than n.
func roundUp(n int) int {
	for step := 2; ; step *= 10 {
		for _, m := range []int{1, 2, 5} {
			if step*m >= n {
				return step * m
			}
		}
	}
}

// BaseY is where the columns stand.
func (c *chart) BaseY() int { return chartTop + chartBody }

// LabelY is where the days are written.
func (c *chart) LabelY() int { return chartTop + chartBody + 18 }

// Left is where the columns begin.
func (c *chart) Left() int { return chartLeft }
