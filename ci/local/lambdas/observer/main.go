// Command observer stands before a function's own entry point and tells the function host, over
// one connection, what the function prints, how much memory it takes, and how it ended.
//
// It is static and needs nothing of the image, so that images without a shell work too.
//
// From here to the host: frames of a kind (one byte), a length (four bytes, big-endian) and a
// payload: 'h' once, at first, with nothing; 'o' what was printed, 'p' the peak of memory in KiB as
// text, 'x' the exit code as text, 'e' why the function could not be started at all.
// From the host to here: 'm', which asks for all that was printed so far and then for the peak.
// Where the connection ends, the function ends.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	sampleEvery         = 100 * time.Millisecond
	dialAttempts        = 50
	prSetChildSubreaper = 36     // linux/prctl.h
	fionread            = 0x541B // asm-generic/ioctls.h
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "observer: ADDRESS COMMAND…")
		os.Exit(125)
	}
	code, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "observer:", err)
	}
	os.Exit(code)
}

func run(address string, command []string) (int, error) {
	conn, err := dial(address)
	if err != nil {
		return 125, err
	}
	// Processes that their parent left behind become ours: they count as the function's, too.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
	out, err := newOutput(conn)
	if err != nil {
		return 125, err
	}
	out.frame('h', nil)
	cmd := exec.Command(command[0], command[1:]...)
	// One pipe for both, so that their lines keep their order.
	cmd.Stdout, cmd.Stderr = out.writer, out.writer
	if err := cmd.Start(); err != nil {
		out.frame('e', []byte(err.Error()))
		return 127, nil
	}
	out.writer.Close()
	go out.forward()
	memory := &memory{function: cmd.Process.Pid}
	go memory.sample()
	go func() {
		listen(conn, out, memory)
		kill()
		os.Exit(137)
	}()
	_ = cmd.Wait()
	out.drain()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	out.frame('p', memory.read())
	out.frame('x', []byte(strconv.Itoa(code)))
	return code, nil
}

func dial(address string) (conn net.Conn, err error) {
	for range make([]struct{}, dialAttempts) {
		if conn, err = net.DialTimeout("tcp", address, 2*time.Second); err == nil {
			return conn, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, err
}

// Until the host has gone.
func listen(conn net.Conn, out *output, memory *memory) {
	request := make([]byte, 1)
	for {
		if _, err := conn.Read(request); err != nil {
			return
		}
		out.drain()
		out.frame('p', memory.read())
	}
}

// An output is the pipe that the function prints to, and the connection that takes it.
type output struct {
	mu     sync.Mutex
	conn   net.Conn
	reader *os.File
	raw    syscall.RawConn
	writer *os.File
}

func newOutput(conn net.Conn) (*output, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	raw, err := reader.SyscallConn()
	return &output{conn: conn, reader: reader, raw: raw, writer: writer}, err
}

// Reads and hands on under the lock: while nobody holds it, all that left the pipe was sent.
func (o *output) forward() {
	buffer := make([]byte, 64<<10)
	for ended := false; !ended; {
		err := o.raw.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			n, err := syscall.Read(int(fd), buffer)
			switch {
			case err == syscall.EAGAIN || err == syscall.EINTR:
				return false
			case n <= 0:
				ended = true
			default:
				o.send('o', buffer[:n])
			}
			return true
		})
		ended = ended || err != nil
	}
}

// Waits until nothing is left in the pipe.
func (o *output) drain() {
	for {
		waiting := int32(0)
		o.mu.Lock()
		_ = o.raw.Control(func(fd uintptr) {
			_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, fionread, uintptr(unsafe.Pointer(&waiting)))
		})
		o.mu.Unlock()
		if waiting == 0 {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func (o *output) frame(kind byte, payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send(kind, payload)
}

func (o *output) send(kind byte, payload []byte) {
	header := make([]byte, 5, 5+len(payload))
	header[0] = kind
	binary.BigEndian.PutUint32(header[1:], uint32(len(payload)))
	_, _ = o.conn.Write(append(header, payload...))
}

// A memory knows the largest sum of the peaks (VmHWM, proc_pid_status(5)) of the processes that
// ran side by side.
type memory struct {
	mu       sync.Mutex
	function int // the process that we started
	peak     int
}

func (m *memory) sample() {
	for range time.Tick(sampleEvery) {
		m.read()
	}
}

func (m *memory) read() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := 0
	for _, pid := range descendants() {
		sum += status(pid, "VmHWM:")
		if pid != m.function {
			// Of those that were left behind to us, the ended ones go. Others are not ours: ECHILD.
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
	m.peak = max(m.peak, sum)
	return []byte(strconv.Itoa(m.peak))
}

func kill() {
	for _, pid := range descendants() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// All processes below this one.
func descendants() []int {
	children := map[int][]int{}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry))
		parent := status(pid, "PPid:")
		children[parent] = append(children[parent], pid)
	}
	found := children[os.Getpid()]
	for at := 0; at < len(found); at++ {
		found = append(found, children[found[at]]...)
	}
	return found
}

// A number of /proc/PID/status; 0 where there is none, as for a process that is gone.
func status(pid int, name string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range bytes.Split(text, []byte("\n")) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == name {
			value, _ := strconv.Atoi(string(fields[1]))
			return value
		}
	}
	return 0
}
