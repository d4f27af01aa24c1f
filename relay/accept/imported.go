package accept

import (
	"fmt"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool/care"
)

// ParseImported reads one line of an export and judges it as if it had come by POST: an event that
// no attempt could carry, or a target that no config could name, would stay for ever.
func ParseImported(line []byte) (*care.Exported, error) {
	x, err := care.ParseExported(line)
	if err != nil {
		return nil, err
	}
	if r := CheckID(x.ID); r != nil {
		return nil, fmt.Errorf("id %.40q: %s", x.ID, r.Detail)
	}
	if r := CheckName("type", x.Type, true); r != nil {
		return nil, fmt.Errorf("type %.40q: %s", x.Type, r.Detail)
	}
	for _, h := range x.Headers {
		if err := attempt.CheckFrozen(string(h.Name), string(h.Value)); err != nil {
			return nil, err
		}
	}
	for _, t := range x.Targets {
		if err := config.CheckTargetName(t.Name); err != nil {
			return nil, fmt.Errorf("target %.40q cannot be one: %w", t.Name, err)
		}
	}
	return x, nil
}
