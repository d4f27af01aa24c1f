//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The way out: a TUN device with addresses of its own and both default routes. Its network is that
// of documentation (RFC 5737, RFC 3849), which no machine has.
const (
	deviceName  = "out"
	deviceAddr4 = "192.0.2.2"
	deviceAddr6 = "2001:db8::2"
	resolver    = "192.0.2.53"
)

// ifreq6 and route6 are struct in6_ifreq and struct in6_rtmsg of Linux.
type ifreq6 struct {
	address [16]byte
	prefix  uint32
	index   int32
}

type route6 struct {
	dst, src, gateway [16]byte
	kind              uint32
	dstBits, srcBits  uint16
	metric            uint32
	info              uint64
	flags             uint32
	index             int32
}

// route4 is struct rtentry.
type route4 struct {
	pad1              uint64
	dst, gateway, net unix.RawSockaddrInet4
	flags             uint16
	pad2              int16
	pad3, pad4        uint64
	metric            int16
	device            *byte
	mtu, window       uint64
	irtt              uint16
}

// openWayOut brings up loopback and the device of this network namespace and points the resolver
// there; dir is for a file that must stay. Loopback is up even if the rest fails.
func openWayOut(dir string) (*os.File, error) {
	four, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a socket: %w", err)
	}
	defer unix.Close(four)
	if err := up(four, "lo"); err != nil {
		return nil, err
	}
	device, err := openDevice()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(route(four), route6By(), pointResolver(dir)); err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return device, nil
}

func openDevice() (*os.File, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	req, err := unix.NewIfreq(deviceName)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make a device: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

func up(socket int, name string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("cannot bring up %s: %w", name, err)
	}
	return nil
}

// route gives the device its IPv4 address and the default route.
func route(socket int) error {
	req, err := unix.NewIfreq(deviceName)
	if err != nil {
		return err
	}
	addr := netip.MustParseAddr(deviceAddr4).As4()
	if err := req.SetInet4Addr(addr[:]); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFADDR, req); err != nil {
		return fmt.Errorf("cannot give %s its address: %w", deviceName, err)
	}
	if err := up(socket, deviceName); err != nil {
		return err
	}
	name := append([]byte(deviceName), 0)
	r := route4{flags: unix.RTF_UP, device: &name[0]}
	r.dst.Family, r.gateway.Family, r.net.Family = unix.AF_INET, unix.AF_INET, unix.AF_INET
	return ioctl(socket, unix.SIOCADDRT, unsafe.Pointer(&r)) // #nosec G103 -- an ioctl takes it
}

// route6By does the same for IPv6, where there is one.
func route6By() error {
	six, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil // no IPv6: nothing leaves by it
	}
	defer unix.Close(six)
	req, err := unix.NewIfreq(deviceName)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(six, unix.SIOCGIFINDEX, req); err != nil {
		return fmt.Errorf("cannot find %s: %w", deviceName, err)
	}
	index := int32(req.Uint32())
	address := ifreq6{address: netip.MustParseAddr(deviceAddr6).As16(), prefix: 64, index: index}
	r := route6{flags: unix.RTF_UP, metric: 1, index: index}
	// #nosec G103 -- an ioctl takes it
	return errors.Join(ioctl(six, unix.SIOCSIFADDR, unsafe.Pointer(&address)),
		ioctl(six, unix.SIOCADDRT, unsafe.Pointer(&r)))
}

func ioctl(socket int, request uintptr, argument unsafe.Pointer) error {
	if _, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), request,
		uintptr(argument)); err != 0 {
		return fmt.Errorf("cannot set up %s by ioctl %#x: %w", deviceName, request, err)
	}
	return nil
}

// pointResolver lays a resolv.conf over the machine's, in this mount namespace only. The file stays
// in dir: over one that is gone a test could not lay its own.
func pointResolver(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot leave the mounts of the machine alone: %w", err)
	}
	file := filepath.Join(dir, "resolv.conf")
	text := "nameserver " + resolver + "\noptions timeout:1 attempts:1\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(file, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot lay %s over /etc/resolv.conf: %w", file, err)
	}
	return nil
}
