// Package page shows a server tree to people: which images there are, their versions, sizes,
// what changed between two, and how to use them.
//
// Everything is rendered here, from the catalog and the manifests, so it works without a script and
// with the strictest policy: nothing is loaded but one style sheet and one script of this package.
// The script adds what is convenient (filtering while typing, copying, a choice of colours) and nothing that
// is needed. All texts go through html/template.
package page

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/ui"
)

//go:embed parts/*.html static/*
var files embed.FS

// A Source is a tree that is shown.
type Source interface {
	// Offer is its catalog.
	Offer() (catalog.Catalog, error)
	// Read gives a file of it, of so many bytes at most.
	Read(name string, limit int64) ([]byte, error)
	// Key is the fingerprint of the key that the tree shows.
	Key() string
}

// Pages are the pages of a tree.
type Pages struct {
	Source Source
	Base   string           // where the tree lies on its host: "", "/team"
	Now    func() time.Time // nil means time.Now

	mu        sync.Mutex
	manifests map[digest.Digest]*artifact.Manifest
}

// policy is what a browser may do with a page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

var errNone = errors.New("there is no such page")

// assets are the files that pages load, and a name for their bytes, by which they may be kept.
var (
	assets   = map[string][]byte{}
	stamp    string
	sections = func() *template.Template {
		var all []byte
		for _, name := range []string{"style.css", "script.js", "icon.svg"} {
			data, err := files.ReadFile("static/" + name)
			if err != nil {
				panic(err) // it is in the program
			}
			assets[name] = data
			all = append(all, data...)
		}
		stamp = digest.Of(all).String()[:12]
		return template.Must(template.New("").Funcs(template.FuncMap{"size": ui.Size, "day": day, "exact": exact}).ParseFS(files, "parts/*.html"))
	}()
)

// IsPage says whether a path of a tree, without its first slash, is one of a page.
func IsPage(name string) bool {
	return name == "" || strings.HasPrefix(name, "image/") || strings.HasPrefix(name, "static/")
}

func (p *Pages) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// Serve answers GET and HEAD for the page of a name.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, name string) {
	if file, ok := strings.CutPrefix(name, "static/"); ok {
		p.asset(w, r, file)
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Referrer-Policy", "same-origin")
	w.Header().Set("X-Frame-Options", "DENY")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-cache")
	}
	c, err := p.Source.Offer()
	code := http.StatusOK
	var b bytes.Buffer
	switch h := p.head(r, c); {
	case err != nil:
		code, err = http.StatusServiceUnavailable, sections.ExecuteTemplate(&b, "wrong.html", wrong{h, "This tree has nothing to show", "Its index is missing, or its key did not sign it."})
	case name == "":
		err = sections.ExecuteTemplate(&b, "list.html", p.list(h, c, r.URL.Query()))
	default:
		var v imageView
		if v, err = p.image(h, c, strings.TrimPrefix(name, "image/"), r.URL.Query()); err == nil {
			err = sections.ExecuteTemplate(&b, "image.html", v)
		} else if errors.Is(err, errNone) {
			code, err = http.StatusNotFound, sections.ExecuteTemplate(&b, "wrong.html", wrong{h, "There is no such image", "It may have had a name or a version that is no longer offered."})
		}
	}
	if err != nil {
		http.Error(w, "cannot show the page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// asset gives a file of this package.
func (p *Pages) asset(w http.ResponseWriter, r *http.Request, name string) {
	data, ok := assets[name]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // pages ask for it by its bytes
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// head is what all pages have.
type head struct {
	Base, Stamp, Host, Scheme string
	Key                       string // fingerprint
	Catalog                   catalog.Catalog
	Now                       time.Time
	Query                     string
}

type wrong struct {
	head
	Title, Text string
}

// host is what can stand in a command that people copy.
var host = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?$`)

func (p *Pages) head(r *http.Request, c catalog.Catalog) head {
	h := head{Base: p.Base, Stamp: stamp, Host: r.Host, Scheme: "http", Key: p.Source.Key(), Catalog: c, Now: p.now()}
	if !host.MatchString(h.Host) {
		h.Host = "images.example"
	}
	if r.TLS != nil {
		h.Scheme = "https"
	}
	return h
}

// URL is the tree's address.
func (h head) URL() string { return h.Scheme + "://" + h.Host + h.Base }

// Fresh says whether clients believe the index, and Left how long they will.
func (h head) Fresh() bool  { return h.Catalog.Fresh(h.Now) == nil }
func (h head) Left() string { return span(h.Catalog.Expires.Sub(h.Now)) }

// Age is how long ago something was.
func (h head) Age(t time.Time) string { return span(h.Now.Sub(t)) }

// span is a time for people.
func span(d time.Duration) string {
	days := int(d / (24 * time.Hour))
	switch {
	case d < 0:
		return "none"
	case d < time.Minute:
		return "moments"
	case d < 2*time.Minute:
		return "a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	case d < 2*time.Hour:
		return "an hour"
	case days < 2:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case days < 60:
		return fmt.Sprintf("%d days", days)
	case days < 730:
		return fmt.Sprintf("%d months", days/30)
	}
	return fmt.Sprintf("%d years", days/365)
}

func day(t time.Time) string   { return t.UTC().Format("2 January 2006") }
func exact(t time.Time) string { return t.UTC().Format(time.RFC3339) }
