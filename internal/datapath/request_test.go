package datapath

import "testing"

// loadAs loads the programs with a configuration that this daemon would not write.
func loadAs(t *testing.T, o Options, change func(*kernelConfig)) *rotaObjects {
	t.Helper()
	spec, err := buildSpec(o, roomFor(o.Pools))
	if err != nil {
		t.Fatal(err)
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
// reads the kernel's memory.
func TestProgramsOfAKernelThatDescribesNothing(t *testing.T) {
	if requestISN() == 0 {
		t.Error("this kernel, which has what is needed, tells no offset")
	}
	loadAs(t, testOptions(), func(c *kernelConfig) { c.RequestISN = 0 })
}
