package journaltest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/regild/regild/internal/journal"
)

// Memory returns a store that lives in the process and forgets.
func Memory() journal.Store { return &memory{logs: map[string][]byte{}} }

type memory struct {
	mu   sync.Mutex
	logs map[string][]byte
}

func (m *memory) Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error) {
	if err := journal.CheckRead(key, from); err != nil {
		return nil, 0, err
	}
	err = m.do(ctx, func() error {
		data := m.logs[key]
		length = int64(len(data))
		switch {
		case from > length, from > 0 && data[from-1] != '\n':
			length = 0
			return fmt.Errorf("reading journal %s from %d: %w", key, from, journal.ErrShrunk)
		case from < length:
			lines = bytes.Clone(data[from:])
		}
		return nil
	})
	return lines, length, err
}

func (m *memory) Append(ctx context.Context, key string, at int64, lines []byte) (length int64, err error) {
	if err := journal.CheckAppend(key, at, lines); err != nil {
		return 0, err
	}
	err = m.do(ctx, func() error {
		if had := int64(len(m.logs[key])); had != at {
			return fmt.Errorf("appending to journal %s at %d: %w: its length is %d", key, at, journal.ErrMoved, had)
		}
		m.logs[key] = append(m.logs[key], lines...)
		length = at + int64(len(lines))
		return nil
	})
	return length, err
}

func (m *memory) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	err = m.do(ctx, func() error {
		for key := range m.logs {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

func (m *memory) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	keys, err := m.Keys(ctx, prefix)
	keys = slices.DeleteFunc(keys, func(key string) bool { return key <= after })
	return keys[:min(len(keys), limit, journal.MaxSome)], err
}

func (m *memory) Forget(ctx context.Context, key string) error {
	if err := journal.CheckForget(key); err != nil {
		return err
	}
	return m.do(ctx, func() error {
		delete(m.logs, key)
		return nil
	})
}

// do does something with the logs, while there is time.
func (m *memory) do(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("asking the memory: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}
