package difference

import (
	"html/template"
	"io"
)

// page is the report as one file that needs no other.
var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
h1 { font-size: 1.3rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td { padding: .15rem .6rem .15rem 0; vertical-align: top; overflow-wrap: anywhere }
td.s { width: 1rem; font-weight: bold } td.n { font-family: ui-monospace, monospace; font-size: .9em }
pre { margin: .3rem 0 1rem 1.6rem; white-space: pre-wrap; font-size: .85em; color: #444 }
@media (prefers-color-scheme: dark) { body { color: #e8e8e8; background: #161616 } pre { color: #aaa } }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{range $i, $s := .Summary}}{{if $i}}, {{end}}{{$s}}{{end}}</p>
{{range .Sections}}<h2>{{.Title}}</h2>
<table>
{{range .Rows}}<tr><td class="s">{{.Sign}}</td><td class="n">{{.Name}}</td><td>{{.What}}</td></tr>
{{if .Detail}}<tr><td></td><td colspan="2"><details><summary>more</summary><pre>{{range .Detail}}{{.}}
{{end}}</pre></details></td></tr>
{{end}}{{end}}</table>
{{if .More}}<p>and {{.More}} more</p>
{{end}}{{end}}</body>
</html>
`))

// HTML writes the report as a page.
func (r *Report) HTML(w io.Writer) error { return page.Execute(w, r.view()) }
