package testenv

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Metrics is one scrape. A series is named as it is printed: name{label="value",…}.
type Metrics map[string]float64

// Series names a series of hookspool: the name without prefix, then pairs of label and value.
func Series(name string, labels ...string) string {
	if len(labels) == 0 {
		return "hookspool_" + name
	}
	var pairs []string
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	slices.Sort(pairs)
	return "hookspool_" + name + "{" + strings.Join(pairs, ",") + "}"
}

// Get is the value of a series; 0 also when there is none of the name.
func (m Metrics) Get(name string, labels ...string) int { return int(m[Series(name, labels...)]) }

// Has reports whether the series exists.
func (m Metrics) Has(name string, labels ...string) bool {
	_, ok := m[Series(name, labels...)]
	return ok
}

// Attempts sums the attempts of a target over all outcomes.
func (m Metrics) Attempts(target string) int {
	n := 0
	for series, value := range m {
		if strings.HasPrefix(series, "hookspool_attempts_total{") &&
			strings.Contains(series, fmt.Sprintf("target=%q", target)) {
			n += int(value)
		}
	}
	return n
}

func parseMetrics(r io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return nil, fmt.Errorf("cannot read the metric %q", line)
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the metric %q: %w", line, err)
		}
		m[line[:at]] = value
	}
	return m, lines.Err()
}
