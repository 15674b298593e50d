package quorate

// #include <quorate.h>
import "C"

import (
	"syscall"
)

// Status says how a call or a request ended, as quorate.h lists it. It is an error to compare with: every
// error of this package is one of these by errors.Is.
type Status int32

// The statuses. What each means is its Error text.
const (
	ErrNull        Status = C.QUORATE_E_NULL
	ErrArgument    Status = C.QUORATE_E_ARG
	ErrType        Status = C.QUORATE_E_TYPE
	ErrUnsupported Status = C.QUORATE_E_UNSUPPORTED
	ErrState       Status = C.QUORATE_E_STATE
	ErrReentrant   Status = C.QUORATE_E_REENTRANT
	ErrForked      Status = C.QUORATE_E_FORKED
	ErrPanic       Status = C.QUORATE_E_PANIC
	ErrPoisoned    Status = C.QUORATE_E_POISONED
	ErrClosed      Status = C.QUORATE_E_CLOSED
	ErrCancelled   Status = C.QUORATE_E_CANCELLED
	ErrNoMemory    Status = C.QUORATE_E_NOMEM
	ErrLimit       Status = C.QUORATE_E_LIMIT
	ErrBusy        Status = C.QUORATE_E_BUSY
	ErrIO          Status = C.QUORATE_E_IO
	ErrCorrupt     Status = C.QUORATE_E_CORRUPT
	ErrTimeout     Status = C.QUORATE_E_TIMEOUT
	ErrQuorum      Status = C.QUORATE_E_QUORUM
	ErrNotFound    Status = C.QUORATE_E_NOTFOUND
	ErrContext     Status = C.QUORATE_E_CONTEXT
	ErrNet         Status = C.QUORATE_E_NET
	ErrPartial     Status = C.QUORATE_E_PARTIAL
	ErrMaybe       Status = C.QUORATE_E_MAYBE
	ErrOverloaded  Status = C.QUORATE_E_OVERLOADED
	ErrLayout      Status = C.QUORATE_E_LAYOUT
	ErrSiblings    Status = C.QUORATE_E_SIBLINGS
	ErrClock       Status = C.QUORATE_E_CLOCK
	ErrMajority    Status = C.QUORATE_E_MAJORITY
	ErrFull        Status = C.QUORATE_E_FULL
	ErrReadOnly    Status = C.QUORATE_E_READONLY
	ErrIncomplete  Status = C.QUORATE_E_INCOMPLETE
	ErrForeign     Status = C.QUORATE_E_FOREIGN
	ErrChanged     Status = C.QUORATE_E_CHANGED
)

// Error is the library's text for the status.
func (s Status) Error() string {
	return "quorate: " + C.GoString(C.quorate_status_text(C.quorate_status(s)))
}

// Name is what quorate.h calls the status, such as "E_QUORUM".
func (s Status) Name() string {
	return C.GoString(C.quorate_status_name(C.quorate_status(s)))
}

// Flags says what may be concluded from an error.
type Flags uint32

// What may be concluded from an error.
const (
	Retriable Flags = C.QUORATE_F_RETRIABLE // it may be tried again as it is
	Fatal     Flags = C.QUORATE_F_FATAL     // the node will not recover by itself
	Uncertain Flags = C.QUORATE_F_UNCERTAIN // a write may have happened
	Misuse    Flags = C.QUORATE_F_MISUSE    // the caller broke a rule

	conclusions = Retriable | Fatal | Uncertain | Misuse
)

// Flags of the status alone; an [Error] knows more of what it was an answer to.
func (s Status) Flags() Flags {
	return Flags(C.quorate_status_flags(C.quorate_status(s)))
}

// Error is how a call or a request failed. errors.Is finds its Status, its Errno, and context.Canceled or
// context.DeadlineExceeded where a context ended it.
type Error struct {
	Status Status
	Flags  Flags
	Errno  syscall.Errno // of the system call behind it, or 0
	Text   string        // what is wrong with an option or an order, or empty
	cause  error         // of the context that ended it, or nil
}

// Error is the reason in words.
func (e *Error) Error() string {
	text := e.Status.Error()
	if e.Text != "" {
		text += ": " + e.Text
	}
	if e.Errno != 0 {
		text += ": " + e.Errno.Error()
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap names everything that the error is.
func (e *Error) Unwrap() []error {
	all := make([]error, 1, 3)
	all[0] = e.Status
	if e.Errno != 0 {
		all = append(all, e.Errno)
	}
	if e.cause != nil {
		all = append(all, e.cause)
	}
	return all
}

// failure is the error of a refused call, or nil.
func failure(status C.quorate_status) error {
	if status >= C.QUORATE_OK {
		return nil
	}
	return &Error{Status: Status(status), Flags: Status(status).Flags()}
}
