package main

import "testing"

// A report is passed on: what opens its feed to somebody is not in it.
func TestFeedName(t *testing.T) {
	for from, want := range map[string]string{
		"feeds/tracker.json": "feeds/tracker.json",
		"https://u:hush@feeds.example/data.json?token=hush#x": "https://feeds.example/data.json",
		"https://u:hush@feeds example/":                       "an address that is none",
	} {
		if got := feedName(from); got != want {
			t.Errorf("%s is called %s", from, got)
		}
	}
}
