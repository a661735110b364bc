// Package browser holds tests that look at the pages of regild in a real
// browser: what they say, how they are sorted, searched and used by keyboard,
// that nothing from outside breaks out of its place, that nobody is asked for
// anything, and that axe-core has no serious complaint. They also make the
// pictures of the docs.
//
//	make browser                               # all of them
//	go test -tags browser ./browser -update    # and write docs/images anew
//
// They need a Chromium: chromium-headless-shell, chromium or Chrome on the PATH,
// or REGILD_BROWSER with the path of one. Without one they fail.
package browser
