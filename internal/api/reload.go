package api

// Reloaded is what a reload has changed.
type Reloaded struct {
	Changed []string `json:"changed"` // one fact each; none if the files say what they said
}
