package check

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"

	"github.com/rota-cluster/rota/internal/systembus"
)

// unit passes while a systemd unit is active. It asks systemd on the system
// bus, as systemctl does, without starting a process.
type unit struct {
	bus  string // D-Bus address
	name string
}

const (
	systemd      = "org.freedesktop.systemd1"
	systemdError = systemd + ".NoSuchUnit"
)

func (u unit) probe(ctx context.Context) Outcome {
	conn, err := systembus.Connect(ctx, u.bus)
	if err != nil {
		return failedBy(ctx, "connect to the system bus", err)
	}
	defer conn.Close()
	var path dbus.ObjectPath
	err = conn.Object(systemd, "/org/freedesktop/systemd1").CallWithContext(ctx, systemd+".Manager.GetUnit", 0, u.name).Store(&path)
	var answer dbus.Error
	if errors.As(err, &answer) && answer.Name == systemdError {
		return failed("%s is not loaded", u.name)
	}
	if err != nil {
		return failedBy(ctx, "ask systemd", err)
	}
	var active, sub string
	for property, to := range map[string]*string{"ActiveState": &active, "SubState": &sub} {
		v, err := u.property(ctx, conn.Object(systemd, path), property)
		if err != nil {
			return failedBy(ctx, "ask systemd", err)
		}
		*to = v
	}
	text := u.name + " is " + oneLine(active+" ("+sub+")")
	switch active {
	case "active", "reloading", "refreshing":
		return passed(text)
	}
	return failed("%s", text)
}

func (u unit) property(ctx context.Context, o dbus.BusObject, name string) (string, error) {
	var v dbus.Variant
	if err := o.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, systemd+".Unit", name).Store(&v); err != nil {
		return "", err
	}
	var s string
	return s, v.Store(&s)
}
