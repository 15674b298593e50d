package quorate

// #include "bridge.h"
import "C"

import (
	"context"
	"log/slog"
	"runtime/cgo"
)

// LevelTrace is what slog has no level for.
const LevelTrace = slog.LevelDebug - 4

// levels are those of the library in those of slog, by their numbers.
var levels = [...]slog.Level{
	C.QUORATE_LOG_ERROR: slog.LevelError,
	C.QUORATE_LOG_WARN:  slog.LevelWarn,
	C.QUORATE_LOG_INFO:  slog.LevelInfo,
	C.QUORATE_LOG_DEBUG: slog.LevelDebug,
	C.QUORATE_LOG_TRACE: LevelTrace,
}

// logTo has the log go to a logger, as far as that wants it.
func logTo(options *C.quorate_options, logger *slog.Logger) error {
	wanted := 0
	for level := C.QUORATE_LOG_ERROR; level < len(levels); level++ {
		if logger.Enabled(context.Background(), levels[level]) {
			wanted = level
		}
	}
	if wanted == 0 {
		return nil
	}
	return failure(C.set_log(options, C.uint32_t(wanted), C.uintptr_t(cgo.NewHandle(logger))))
}

//export quorateLogLine
func quorateLogLine(user C.uintptr_t, level C.uint32_t, target, text C.quorate_bytes) {
	logger := cgo.Handle(user).Value().(*slog.Logger)
	logger.Log(context.Background(), levels[level], string(shown(text)), "target", string(shown(target)))
}

//export quorateLogDrop
func quorateLogDrop(user C.uintptr_t) { cgo.Handle(user).Delete() }
