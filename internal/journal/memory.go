package journal

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// What a memory store keeps before it drops the logs that were written longest
// ago. It serves one function instance, which FC ends within hours.
const (
	memoryLogs  = 10_000
	memoryBytes = 64 << 20
)

// Memory returns a store that lives in the process and forgets: for a function
// that was given no journal, and for tests. Past 10,000 logs or 64 MiB it drops
// the logs that were written longest ago.
func Memory() Store {
	return &memory{logs: map[string]*list.Element{}, maxLogs: memoryLogs, maxBytes: memoryBytes}
}

type memory struct {
	maxLogs, maxBytes int

	mu    sync.Mutex
	logs  map[string]*list.Element // of memoryLog
	order list.List                // written longest ago first
	bytes int
}

type memoryLog struct {
	key  string
	data []byte
}

func (m *memory) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if err := checkRead(key, from); err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("reading journal %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data := m.data(key)
	length := int64(len(data))
	switch {
	case from > length, from > 0 && data[from-1] != '\n':
		return nil, 0, shrunk(key, from)
	case from == length:
		return nil, length, nil
	}
	return bytes.Clone(data[from:]), length, nil
}

func (m *memory) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if err := checkAppend(key, at, lines); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("appending to journal %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if length := int64(len(m.data(key))); length != at {
		return 0, moved(key, at, length)
	}
	e := m.logs[key]
	if e == nil {
		e = m.order.PushBack(&memoryLog{key: key})
		m.logs[key] = e
	}
	log := e.Value.(*memoryLog)
	log.data = append(log.data, lines...)
	m.bytes += len(lines)
	m.order.MoveToBack(e)
	m.drop()
	return int64(len(log.data)), nil
}

// drop forgets old logs past the limits, but never the newest.
func (m *memory) drop() {
	for m.order.Len() > 1 && (m.order.Len() > m.maxLogs || m.bytes > m.maxBytes) {
		log := m.order.Remove(m.order.Front()).(*memoryLog)
		delete(m.logs, log.key)
		m.bytes -= len(log.data)
	}
}

func (m *memory) Keys(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("listing journal %s: %w", prefix, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.logs {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

func (m *memory) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	keys, err := m.Keys(ctx, prefix)
	return behind(keys, after, limit), err
}

func (m *memory) Forget(ctx context.Context, key string) error {
	if err := checkForget(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.logs[key]; e != nil {
		m.bytes -= len(m.order.Remove(e).(*memoryLog).data)
		delete(m.logs, key)
	}
	return nil
}

// behind returns up to limit keys behind after; keys are in order.
func behind(keys []string, after string, limit int) []string {
	at, found := slices.BinarySearch(keys, after)
	if found {
		at++
	}
	keys = keys[at:]
	return keys[:min(len(keys), limit, MaxSome)]
}

func (m *memory) data(key string) []byte {
	if e := m.logs[key]; e != nil {
		return e.Value.(*memoryLog).data
	}
	return nil
}
