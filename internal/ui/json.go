package ui

import (
	"encoding/json"
	"io"
	"time"
)

// SchemaVersion is the "schema" of the JSON lines. It grows when a key changes
// its meaning or goes; new keys and events may come at any time.
const SchemaVersion = 1

// An event is one JSON line. docs/reference/progress.md is its reference.
type event struct {
	Schema  int      `json:"schema"`
	Time    string   `json:"time"` // RFC 3339, UTC, milliseconds
	Event   string   `json:"event"`
	Step    string   `json:"step,omitempty"`
	Name    string   `json:"name,omitempty"`
	Unit    Unit     `json:"unit,omitempty"`
	Done    *int64   `json:"done,omitempty"`
	Total   int64    `json:"total,omitempty"`
	Rate    float64  `json:"rate,omitempty"` // units a second
	Text    string   `json:"text,omitempty"`
	Cached  *bool    `json:"cached,omitempty"`
	Seconds *float64 `json:"seconds,omitempty"`
	Error   string   `json:"error,omitempty"`

	Artifacts []Artifact `json:"artifacts,omitempty"`
}

type jsonLines struct{ enc *json.Encoder }

func newJSONLines(w io.Writer) *jsonLines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonLines{enc}
}

func (j *jsonLines) period() time.Duration { return time.Second }

func (j *jsonLines) put(now time.Time, e event) {
	e.Schema, e.Time = SchemaVersion, now.UTC().Format("2006-01-02T15:04:05.000Z")
	_ = j.enc.Encode(e) // nobody listens any more: the work goes on
}

func (j *jsonLines) start(t *Task, now time.Time) {
	j.put(now, event{Event: "start", Step: t.step.ID, Name: t.step.Name, Unit: t.step.Unit, Total: t.total.Load()})
}

func (j *jsonLines) note(t *Task, now time.Time, text string) {
	e := event{Event: "note", Text: text}
	if t != nil {
		e.Step = t.step.ID
	}
	j.put(now, e)
}

func (j *jsonLines) warn(now time.Time, text string) { j.put(now, event{Event: "warning", Text: text}) }

func (j *jsonLines) finish(t *Task, now time.Time) {
	s, n := round(t.seconds()), t.count.Load()
	e := event{Event: "done", Step: t.step.ID, Unit: t.step.Unit, Total: t.total.Load(), Cached: &t.cached, Seconds: &s}
	if t.step.Unit != "" {
		e.Done = &n
	}
	if t.err != nil {
		e.Error = t.err.Error()
	}
	j.put(now, e)
}

func (j *jsonLines) tick(active []*Task, now time.Time) {
	for _, t := range active {
		n := t.count.Load()
		if t.step.Unit == "" || n == 0 {
			continue
		}
		j.put(now, event{Event: "progress", Step: t.step.ID, Unit: t.step.Unit, Done: &n, Total: t.total.Load(), Rate: round(t.rate.add(now, n))})
	}
}

func (j *jsonLines) summary(now time.Time, s Summary) {
	sec := round(s.Seconds)
	j.put(now, event{Event: "summary", Artifacts: s.Artifacts, Seconds: &sec})
}

func (j *jsonLines) close([]*Task, time.Time) {}

// round keeps thousandths.
func round(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }
