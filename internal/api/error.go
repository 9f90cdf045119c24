package api

import (
	"errors"
	"fmt"
	"net/http"
)

// Code says what kind of refusal an answer is.
type Code string

const (
	CodeBadRequest Code = "bad-request" // the question makes no sense; asking again will not help
	CodeNotFound   Code = "not-found"
	CodeRefused    Code = "refused" // understood, and not done
	CodeFailed     Code = "failed"  // tried, and went wrong
	// CodeBadConfig: the configuration file is wrong. The message is what config validate
	// says, of several lines perhaps.
	CodeBadConfig Code = "bad-config"
)

var httpStatus = map[Code]int{
	CodeBadRequest: http.StatusBadRequest,
	CodeNotFound:   http.StatusNotFound,
	CodeRefused:    http.StatusConflict,
	CodeBadConfig:  http.StatusUnprocessableEntity,
	CodeFailed:     http.StatusInternalServerError,
}

// Error is a refusal that crosses the socket: one line for a person.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// BadRequest refuses a question that makes no sense.
func BadRequest(format string, args ...any) error {
	return &Error{CodeBadRequest, fmt.Sprintf(format, args...)}
}

// NotFound refuses a question about what there is not.
func NotFound(format string, args ...any) error {
	return &Error{CodeNotFound, fmt.Sprintf(format, args...)}
}

// Refused refuses an order that was understood.
func Refused(format string, args ...any) error {
	return &Error{CodeRefused, fmt.Sprintf(format, args...)}
}

// asError is err as it crosses the socket; what nobody classified has failed.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{e.Code, err.Error()}
	}
	return &Error{CodeFailed, err.Error()}
}

type errorBody struct {
	Error *Error `json:"error"`
}
