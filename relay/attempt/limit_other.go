//go:build !unix

package attempt

// descriptorsMax is how many descriptors this process may have; 0: nobody knows.
func descriptorsMax() uint64 { return 0 }
