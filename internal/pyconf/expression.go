package pyconf

import (
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// expression is tokens in Starlark's words.
func (s *scanner) expression(tokens []token) (string, error) {
	tokens = slices.Clone(tokens)
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if t.kind == name && (t.text == "yield" || t.text == "await") {
			return "", s.wrong(t.line, "%s is not read", t.text)
		}
		if !t.is("is") {
			continue
		}
		tokens[i] = token{kind: sign, text: "==", line: t.line}
		if i+1 < len(tokens) && tokens[i+1].is("not") {
			tokens[i].text = "!="
			tokens = slices.Delete(tokens, i+1, i+2)
		}
	}
	tokens = powers(tokens)
	tokens = comparisons(tokens)
	words := make([]string, len(tokens))
	for i, t := range tokens {
		if words[i] = t.text; t.kind == quoted {
			words[i] = syntax.Quote(t.text, false)
		}
	}
	return strings.Join(words, " "), nil
}

func word(k kind, text string, like token) token {
	return token{kind: k, text: text, line: like.line, start: like.start, end: like.end}
}

// powers writes a ** b as a call, from the right: it binds so.
func powers(tokens []token) []token {
	for i := len(tokens) - 1; i > 0; i-- {
		// A function's **arguments have nothing to raise in front of them.
		if !tokens[i].is("**") || tokens[i-1].is("(", ",") {
			continue
		}
		from, to := before(tokens, i), behind(tokens, i)
		if from < 0 || to < 0 {
			continue // no expression: whoever reads it says so
		}
		var out []token
		out = append(out, tokens[:from]...)
		out = append(out, word(name, "_pow_", tokens[i]), word(sign, "(", tokens[i]))
		out = append(out, tokens[from:i]...)
		out = append(out, word(sign, ",", tokens[i]))
		out = append(out, tokens[i+1:to]...)
		out = append(out, word(sign, ")", tokens[i]))
		tokens = append(out, tokens[to:]...)
	}
	return tokens
}

// before is where the operand in front of i begins, or -1.
func before(tokens []token, i int) int {
	j := i - 1
	for j >= 0 {
		t := tokens[j]
		switch {
		case t.is(")", "]", "}"):
			depth := 0
			for ; j >= 0; j-- {
				if tokens[j].is(")", "]", "}") {
					depth++
				} else if tokens[j].is("(", "[", "{") {
					if depth--; depth == 0 {
						break
					}
				}
			}
			if j < 0 {
				return -1
			}
			if j > 0 && (tokens[j-1].kind == name && !keyword(tokens[j-1].text) || tokens[j-1].kind == quoted || tokens[j-1].is(")", "]")) {
				j-- // a call or an index
				continue
			}
			return j
		case t.kind != sign:
			if j > 1 && tokens[j-1].is(".") {
				j -= 2
				continue
			}
			return j
		default:
			return -1
		}
	}
	return -1
}

// behind is where the operand behind i ends, or -1.
func behind(tokens []token, i int) int {
	j := i + 1
	for j < len(tokens) && tokens[j].is("-", "+", "~") {
		j++
	}
	if j >= len(tokens) {
		return -1
	}
	for first := true; j < len(tokens); first = false {
		t := tokens[j]
		switch {
		case t.is("(", "[", "{"):
			if !first && t.is("{") {
				return j
			}
			depth := 0
			for ; j < len(tokens); j++ {
				if tokens[j].is("(", "[", "{") {
					depth++
				} else if tokens[j].is(")", "]", "}") {
					if depth--; depth == 0 {
						break
					}
				}
			}
			j = min(j+1, len(tokens))
		case t.is(".") && !first:
			j = min(j+2, len(tokens))
		case t.kind != sign && first:
			j++
		default:
			if first {
				return -1
			}
			return j
		}
	}
	return j
}

func keyword(s string) bool {
	return slices.Contains([]string{"and", "or", "not", "in", "is", "if", "else", "elif", "lambda", "for", "return", "while", "print"}, s)
}

// comparisons writes a < b < c as two comparisons.
func comparisons(tokens []token) []token {
	var out []token
	for i := 0; i < len(tokens); {
		end := i
		depth := 0
		var at []int
		for end < len(tokens) {
			t := tokens[end]
			if depth == 0 && ends(t) {
				break
			}
			switch {
			case t.is("(", "[", "{"):
				depth++
			case t.is(")", "]", "}"):
				depth--
			case depth == 0 && t.is("<", ">", "<=", ">=", "==", "!="):
				at = append(at, end)
			}
			end++
		}
		operand := func(from, to int) []token { return inside(tokens[from:to]) }
		if len(at) < 2 {
			out = append(out, operand(i, end)...)
		} else {
			like := tokens[at[0]]
			out = append(out, word(sign, "(", like))
			left := i
			for k, a := range at {
				right := end
				if k+1 < len(at) {
					right = at[k+1]
				}
				if k > 0 {
					out = append(out, word(name, "and", like))
				}
				out = append(out, operand(left, a)...)
				out = append(out, tokens[a])
				out = append(out, operand(a+1, right)...)
				left = a + 1
			}
			out = append(out, word(sign, ")", like))
		}
		if i = end; end < len(tokens) {
			out = append(out, tokens[end])
			i++
		}
	}
	return out
}

// ends says whether a token binds less than comparisons do.
func ends(t token) bool {
	return t.is("and", "or", "not", "if", "else", "elif", "lambda", "for", "in", "return", "while", ",", ":", ";", "=", "+=", "-=", "*=", "/=", "%=", "//=", "&=", "|=", "^=", "<<=", ">>=", "**=", ")", "]", "}")
}

// inside writes the comparisons in the brackets of an operand.
func inside(tokens []token) []token {
	var out []token
	for i := 0; i < len(tokens); i++ {
		out = append(out, tokens[i])
		if !tokens[i].is("(", "[", "{") {
			continue
		}
		depth, j := 1, i+1
		for ; j < len(tokens) && depth > 0; j++ {
			if tokens[j].is("(", "[", "{") {
				depth++
			} else if tokens[j].is(")", "]", "}") {
				depth--
			}
		}
		if depth == 0 {
			out = append(out, comparisons(tokens[i+1:j-1])...)
			out = append(out, tokens[j-1])
		} else {
			out = append(out, tokens[i+1:j]...)
		}
		i = j - 1
	}
	return out
}
