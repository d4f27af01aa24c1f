// Package peers is what relays that share a spool say of themselves, and what one makes of what the
// others say: which of them have another config, and whose clock is another.
package peers
