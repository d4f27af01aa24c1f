//go:build !linux

package nats

import (
	"errors"
	"syscall"
)

func parentDeath() *syscall.SysProcAttr { return nil }

func (p *process) freeze() error { return errors.New("only Linux shows whether it stands still") }

func (p *process) thaw() error { return p.freeze() }
