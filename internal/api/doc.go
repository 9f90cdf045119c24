// Package api is how people and programs talk to a running daemon: JSON over
// HTTP on a Unix socket, the client that the commands use, and the words of
// both. It knows nothing of how the daemon works; it reads snapshots.
//
// Its one invariant: whoever answers on a socket holds the lock beside it, so
// a live daemon's socket is never taken away and a dead one's always replaced.
//
//	GET  /v1/status                     Status
//	GET  /v1/explain?src=A[:P]&dst=A[:P]  Explanation
//	GET  /v1/events?since=N&follow=1    Events, one JSON object a line
//	POST /v1/drain   DrainRequest
//	POST /v1/resume  ResumeRequest
//	POST /v1/weight  WeightRequest
//	POST /v1/pins    PinsRequest → PinsDone
//
// Anything but a status of 200 comes with {"error": {"code": …, "message": …}}.
package api
