//go:build !unix

package attempt

// DescriptorsMax is how many descriptors this process may have; 0: nobody knows.
func DescriptorsMax() uint64 { return 0 }
