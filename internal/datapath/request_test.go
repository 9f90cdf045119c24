package datapath

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// loadAs loads the programs as on a kernel that lets them call none of its functions,
// with a configuration that this daemon would not write here.
func loadAs(t *testing.T, o Options, change func(*kernelConfig)) *rotaObjects {
	t.Helper()
	spec, err := buildSpec(o, roomFor(o.Pools), describeKernel())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range spec.Programs {
		for i, ins := range p.Instructions {
			if ins.IsKfuncCall() { // so the library leaves one that the kernel does not have
				p.Instructions[i] = asm.BuiltinFunc(0xdedc0de).Call()
			}
		}
	}
	config := newKernelConfig(o)
	change(config)
	if err := spec.Variables[rotaVarConfig].Set(config); err != nil {
		t.Fatal(err)
	}
	objects := new(rotaObjects)
	if err := spec.LoadAndAssign(objects, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	})
	return objects
}

// TestProgramsOfAKernelThatDescribesNothing: the verifier passes over what
// reads the kernel's memory, or calls its functions.
func TestProgramsOfAKernelThatDescribesNothing(t *testing.T) {
	if describeKernel().requestISN == 0 {
		t.Error("this kernel, which has what is needed, tells no offset")
	}
	loadAs(t, testOptions(), func(c *kernelConfig) { c.RequestISN = 0 })
}
