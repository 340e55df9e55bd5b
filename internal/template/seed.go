package template

// A Seed is how a new machine is told what was answered. What reads it has to be in the
// image.
type Seed string

// The seeds there are.
const (
	ISO         Seed = "iso"         // a CD for cloud-init's data source NoCloud
	VFAT        Seed = "vfat"        // the same as a volume with FAT
	Ignition    Seed = "ignition"    // a configuration for Ignition, as firmware's
	Credentials Seed = "credentials" // systemd's, as firmware's
)

// Seeds are those that a definition may choose; the first is where it says none.
var Seeds = []Seed{ISO, VFAT, Ignition, Credentials}
