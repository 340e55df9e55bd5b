package relay

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"ingot/internal/digest"
)

// Git's protocol over http asks by POST for what it reads
// (https://git-scm.com/docs/http-protocol). One question to git-upload-pack has one answer
// in a lock: its address has the digest of the question. The same git, which the lock
// names, asks the same.

// uploadPack is the one program of git's servers that is asked: the one that only reads.
const uploadPack = "git-upload-pack"

// gitService is the one query that an address says as it is.
const gitService = "service=" + uploadPack

// maxQuestion bounds what git asks, in bytes: names of what it wants and has.
const maxQuestion = 64 << 20

// A Question is what a file is asked for by, beside its address: a query, what git sends.
type Question struct {
	Query    string // as it stands behind the "?"; nowhere but here
	Method   string // "" is GET
	Protocol string // of git: the header Git-Protocol
	Body     []byte // of a POST
}

// isGit says whether a request is one of git's that only reads.
func isGit(q *http.Request) bool {
	return q.Method == http.MethodPost && path.Base(q.URL.Path) == uploadPack && q.Header.Get("Content-Type") == "application/x-"+uploadPack+"-request"
}

// asked reads what a request asks beside its address. The address that it gives has all
// of that.
func asked(q *http.Request) (address string, out Question, err error) {
	address = Canonical(q.URL)
	notes := url.Values{}
	switch q.URL.RawQuery {
	case "":
	case gitService:
		address += "?" + gitService
	default:
		out.Query = q.URL.RawQuery
		notes.Set("query", digest.Of([]byte(out.Query)).String())
	}
	out.Protocol = q.Header.Get("Git-Protocol")
	if out.Protocol != "" && len(out.Protocol) < 100 {
		notes.Set("git", out.Protocol)
	}
	if q.Method == http.MethodPost {
		out.Method = http.MethodPost
		body := io.Reader(http.MaxBytesReader(nil, q.Body, maxQuestion))
		if q.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				return "", out, err
			}
			body = io.LimitReader(body, maxQuestion)
		}
		if out.Body, err = io.ReadAll(body); err != nil {
			return "", out, err
		}
		notes.Set("asked", digest.Of(out.Body).String())
	}
	if len(notes) > 0 {
		address += "#" + notes.Encode()
	}
	return address, out, nil
}

// gitType is the type that git wants to be told of an answer of its servers, or "".
func gitType(q *http.Request, first []byte) string {
	service := q.URL.Query().Get("service")
	switch {
	case q.Method == http.MethodPost:
		return "application/x-" + uploadPack + "-result"
	case path.Base(q.URL.Path) != "refs" || service != uploadPack:
		return ""
	case len(first) > 4 && (bytes.HasPrefix(first[4:], []byte("# service="+service)) || bytes.HasPrefix(first[4:], []byte("version "))):
		return "application/x-" + service + "-advertisement"
	}
	return "" // a directory of files is a repository too
}

// Request is the request that asks a server for an address and a question.
func (q Question) Request(address string) (*http.Request, error) {
	at, _, _ := strings.Cut(address, "#")
	if q.Query != "" {
		at += "?" + q.Query
	}
	method, body := http.MethodGet, io.Reader(nil)
	if q.Method != "" {
		method, body = q.Method, bytes.NewReader(q.Body)
	}
	out, err := http.NewRequest(method, at, body) //nolint:noctx // whoever sends it gives it one
	if err != nil {
		return nil, err
	}
	if q.Protocol != "" {
		out.Header.Set("Git-Protocol", q.Protocol)
	}
	if q.Method == http.MethodPost {
		out.Header.Set("Content-Type", "application/x-"+uploadPack+"-request")
		out.Header.Set("Accept", "application/x-"+uploadPack+"-result")
	}
	return out, nil
}
