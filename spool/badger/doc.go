// Package badger is the embedded engine: Badger on the disk of this machine. Nobody else imports
// Badger, but package frame below it, which shows the events of a group one by one, and package
// mend, which reads what is damaged. What it promises is told in package engine; what it asks of
// the disk is told where it is done.
package badger
