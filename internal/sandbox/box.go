package sandbox

// A Box is a private root in which programs of a tree run.
type Box struct{}
