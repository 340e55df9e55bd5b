package server

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ingot/internal/catalog"
)

// Metrics count what a service does, for Prometheus: its text format, version 0.0.4.
// Labels have values of this package alone, so no client makes their number grow. A nil
// Metrics counts nothing.
type Metrics struct {
	// Offer, when it is there, gives the catalog of the tree that is served.
	Offer func() (catalog.Catalog, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	start time.Time

	mu          sync.Mutex
	answers     map[answered]int64
	sent        map[string]int64
	took        [len(seconds) + 1]int64
	tookSum     float64
	connections int
	opened      int64
	refused     map[string]int64
}

// answered is by what answers are counted.
type answered struct {
	what, method string
	code         int
}

// seconds are the upper bounds of what answers take.
var seconds = [...]float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600}

// NewMetrics begins to count.
func NewMetrics() *Metrics {
	return &Metrics{start: time.Now(), answers: map[answered]int64{}, sent: map[string]int64{}, refused: map[string]int64{}}
}

func (m *Metrics) connection(n int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connections += n
	m.opened += int64(max(n, 0))
}

func (m *Metrics) refuse(why string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[why]++
}

func (m *Metrics) answer(r *http.Request, code int, sent int64, took time.Duration) {
	if m == nil {
		return
	}
	method := r.Method
	if !slices.Contains([]string{"GET", "HEAD", "PUT", "POST"}, method) {
		method = "other"
	}
	what := "page"
	if strings.Contains(r.URL.Path, "/"+intakePath) {
		what = "publications"
	}
	switch first, _, _ := strings.Cut(clean(r.URL.Path), "/"); first {
	case "blobs", "images":
		what = first
	case "ingot", "meta", "streams", builderIndex:
		what = "indexes"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[answered{what, method, code}]++
	m.sent[what] += sent
	at, _ := slices.BinarySearch(seconds[:], took.Seconds())
	m.took[at]++
	m.tookSum += took.Seconds()
}

// ServeHTTP answers /metrics, and /healthz, which is 200 while the tree has an index to believe.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	case r.URL.Path == "/metrics":
		var b bytes.Buffer
		m.write(&b)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(b.Bytes())
	case r.URL.Path == "/healthz":
		if err := m.healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	default:
		http.Error(w, "no such file", http.StatusNotFound)
	}
}

func (m *Metrics) healthy() error {
	if m.Offer == nil {
		return nil
	}
	c, err := m.Offer()
	if err != nil {
		return err
	}
	return c.Fresh(m.now())
}

func (m *Metrics) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// write writes everything in the text format.
func (m *Metrics) write(w io.Writer) {
	head := func(name, kind, help string) {
		_, _ = fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	value := func(name string, v float64) {
		_, _ = fmt.Fprintf(w, "%s %s\n", name, strconv.FormatFloat(v, 'g', -1, 64))
	}
	m.mu.Lock()
	head("ingot_http_responses_total", "counter", "Answers, by what was asked for.")
	order := func(a, b answered) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.method, b.method), cmp.Compare(a.code, b.code))
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.answers), order) {
		value(fmt.Sprintf("ingot_http_responses_total{what=%q,method=%q,code=\"%d\"}", k.what, k.method, k.code), float64(m.answers[k]))
	}
	head("ingot_http_response_bytes_total", "counter", "Bytes of answers, without heads.")
	for _, k := range slices.Sorted(maps.Keys(m.sent)) {
		value(fmt.Sprintf("ingot_http_response_bytes_total{what=%q}", k), float64(m.sent[k]))
	}
	head("ingot_http_response_seconds", "histogram", "How long answers took, to their last byte.")
	var n int64
	for i, upper := range seconds {
		n += m.took[i]
		value(fmt.Sprintf("ingot_http_response_seconds_bucket{le=\"%g\"}", upper), float64(n))
	}
	n += m.took[len(seconds)]
	value(`ingot_http_response_seconds_bucket{le="+Inf"}`, float64(n))
	value("ingot_http_response_seconds_sum", m.tookSum)
	value("ingot_http_response_seconds_count", float64(n))
	head("ingot_http_connections", "gauge", "Connections that are open.")
	value("ingot_http_connections", float64(m.connections))
	head("ingot_http_connections_total", "counter", "Connections that were opened.")
	value("ingot_http_connections_total", float64(m.opened))
	head("ingot_http_refused_total", "counter", "Connections and requests that were refused, by the limit.")
	for _, k := range slices.Sorted(maps.Keys(m.refused)) {
		value(fmt.Sprintf("ingot_http_refused_total{limit=%q}", k), float64(m.refused[k]))
	}
	m.mu.Unlock()
	if m.Offer != nil {
		up := 0.0
		if c, err := m.Offer(); err == nil {
			up = 1
			head("ingot_tree_serial", "gauge", "Serial of the index.")
			value("ingot_tree_serial", float64(c.Serial))
			head("ingot_tree_created_timestamp_seconds", "gauge", "When the index was signed.")
			value("ingot_tree_created_timestamp_seconds", float64(c.Created.Unix()))
			head("ingot_tree_expires_timestamp_seconds", "gauge", "Until when clients believe the index.")
			value("ingot_tree_expires_timestamp_seconds", float64(c.Expires.Unix()))
			head("ingot_tree_images", "gauge", "Images that the index offers.")
			value("ingot_tree_images", float64(len(c.Images)))
		}
		head("ingot_tree_up", "gauge", "Whether the tree has an index that its own key signed.")
		value("ingot_tree_up", up)
	}
	process(head, value, m.start)
}

// process is what Prometheus's clients say of every process, where Linux has it.
func process(head func(name, kind, help string), value func(string, float64), start time.Time) {
	head("process_start_time_seconds", "gauge", "When the process began.")
	value("process_start_time_seconds", float64(start.UnixMilli())/1000)
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		head("process_open_fds", "gauge", "Open files.")
		value("process_open_fds", float64(len(fds)))
	}
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		var pages, resident float64
		if n, _ := fmt.Sscan(string(data), &pages, &resident); n == 2 {
			head("process_resident_memory_bytes", "gauge", "Memory.")
			value("process_resident_memory_bytes", resident*float64(os.Getpagesize()))
		}
	}
	head("go_goroutines", "gauge", "Goroutines.")
	value("go_goroutines", float64(runtime.NumGoroutine()))
}
