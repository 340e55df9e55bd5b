package fetch

import (
	"fmt"
	"time"
)

const (
	// leastRate is how many bytes a second all transfers of a client together must bring, each its
	// share: a modem's. Whoever gives less holds a client for days.
	leastRate = 4 << 10
	// rateWindow is over how long that is measured.
	rateWindow = time.Minute
)

// A pace judges how fast the body of one answer comes. Its share of the least rate is what is
// left to it by the other transfers of the client, which may well use the same slow line.
type pace struct {
	since time.Time
	n     int64 // bytes since then
	most  int64 // transfers at once since then
}

// take notes n bytes that came at a time, when so many transfers ran, and says whether a window
// has passed in which too few came.
func (p *pace) take(n int, transfers int64, now time.Time) error {
	p.n += int64(n)
	p.most = max(p.most, transfers, 1)
	past := now.Sub(p.since)
	if past < rateWindow {
		return nil
	}
	if got := p.n; float64(got) < leastRate*past.Seconds()/float64(p.most) {
		return fmt.Errorf("only %d bytes came in %d s", got, int64(past.Seconds()))
	}
	*p = pace{since: now}
	return nil
}
