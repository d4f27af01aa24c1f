// Package badger is the embedded engine: Badger on the disk of this machine. It is the only package
// that imports Badger. What it promises is told in package engine; what it asks of the disk is told
// where it is done.
package badger
