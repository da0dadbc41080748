// Package livepage tests the page of observe/live in a real browser: Chromium,
// Debian's package of that name, or what CHROMIUM names. Without one its tests are
// skipped, unless REQUIRE_CHROMIUM=1.
package livepage
