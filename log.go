package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/regild/regild/internal/escape"
)

// newLogger writes lines of JSON. Text from outside (ids, messages, what ECD
// said) stands in them escaped: JSON by itself lets through what a terminal, on
// which logs are looked at, takes for commands.
func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(logHandler{
		plain: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}),
		escaping: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindString {
				a.Value = slog.StringValue(escape.Terminal(a.Value.String()))
			}
			return a
		}}),
	})
}

// logHandler has a line written by one of two handlers that write the same where there
// is nothing to escape. There is a line for each outcome, and to look is half as dear as
// to have slog ask about each attribute.
type logHandler struct{ plain, escaping slog.Handler }

func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.escaping.Enabled(ctx, level)
}

func (h logHandler) Handle(ctx context.Context, r slog.Record) error { //nolint:gocritic // so does slog
	to := h.plain
	if !harmless(slog.StringValue(r.Message)) {
		to = h.escaping
	}
	r.Attrs(func(a slog.Attr) bool {
		if !harmless(a.Value) {
			to = h.escaping
		}
		return to != h.escaping
	})
	return to.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	to := logHandler{h.plain.WithAttrs(attrs), h.escaping.WithAttrs(attrs)}
	for _, a := range attrs {
		if !harmless(a.Value) {
			to.plain = to.escaping
		}
	}
	return to
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.plain.WithGroup(name), h.escaping.WithGroup(name)}
}

// harmless says whether a value certainly needs no escape.
func harmless(v slog.Value) bool {
	switch v.Kind() {
	case slog.KindString:
		return escape.Terminal(v.String()) == v.String()
	case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindTime, slog.KindUint64:
		return true
	case slog.KindAny, slog.KindGroup, slog.KindLogValuer:
	}
	return false
}
