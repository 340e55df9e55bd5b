package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestMetrics: Prometheus's own reader finds in the text what was done.
func TestMetrics(t *testing.T) {
	s, h := served(t)
	m := NewMetrics()
	m.Offer, m.Now = h.Offer, func() time.Time { return s.clock }
	address, stop := run(t, &Service{Handler: h, Metrics: m})
	for _, path := range []string{"/key.asc", "/" + s.names("blobs")[0], "/streams/v1/index.json", "/nothing", "/nothing"} {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = body(r)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s says nothing of itself", name)
		}
		for _, one := range f.GetMetric() {
			key := name
			for _, l := range one.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			got[key] = one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
		}
	}
	for key, want := range map[string]float64{
		"ingot_http_responses_total what=page method=GET code=200": 1, "ingot_http_responses_total what=page method=GET code=404": 2,
		"ingot_http_responses_total what=blobs method=GET code=200": 1, "ingot_http_responses_total what=indexes method=GET code=200": 1,
		"ingot_http_response_seconds": 5, "ingot_http_connections": 0, "ingot_tree_serial": 1, "ingot_tree_images": 1, "ingot_tree_up": 1,
		"ingot_tree_created_timestamp_seconds": float64(start.Unix()), "ingot_tree_expires_timestamp_seconds": float64(start.Add(Valid).Unix()),
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if got["process_resident_memory_bytes"] < 1<<20 || got["ingot_http_response_bytes_total what=blobs"] == 0 {
		t.Errorf("%v", got)
	}
}

// TestHealth: a tree is healthy while clients believe its index.
func TestHealth(t *testing.T) {
	s, h := served(t)
	s.Valid = 24 * time.Hour
	if _, err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := NewMetrics()
	m.Offer, m.Now = h.Offer, func() time.Time { return s.clock }
	ask := func() int {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
		_, _ = io.Copy(io.Discard, w.Body)
		return w.Code
	}
	if code := ask(); code != 200 {
		t.Errorf("it is %d", code)
	}
	s.clock = s.clock.Add(25 * time.Hour)
	if code := ask(); code != 503 {
		t.Errorf("an expired one is %d", code)
	}
	if _, err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := ask(); code != 200 {
		t.Errorf("signed anew it is %d", code)
	}
	// No client names a metric.
	m.answer(httptest.NewRequest("EVIL", "/", nil), 405, 0, 0)
	var b strings.Builder
	m.write(&b)
	if strings.Contains(b.String(), "EVIL") {
		t.Error("a client's word is a label")
	}
}
