// Package console drives the console of the real binary in a headless Chromium, with mouse and
// keys, as a person does. Its tests, all named TestConsole, are scenarios like those of package
// testenv and are made of its pieces. They are a package of their own because go test gives each
// package ten minutes; one runs after the other, as a browser has use for all of a processor.
//
// They skip where there is no chromium, and fail at anything that the browser complains of. Views
// and dialogs are looked at on a phone, a tablet and a desk: nothing may scroll sideways, lie under
// something else or be out of the keyboard's reach. TestConsoleAxe has axe-core (below axe) look at
// every view as well; HOOKSPOOL_SHOTS names a directory that keeps a picture of each, at each width
// and in both color schemes, to be looked at. TestConsoleMillion takes minutes: HOOKSPOOL_LONG=1.
package console
