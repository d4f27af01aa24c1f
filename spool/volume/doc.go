// Package volume is what a spool asks of the file system below it, whatever lies on it: bytes and
// files that are free, blocks ahead, a ballast, and what an error of the system is about.
package volume
