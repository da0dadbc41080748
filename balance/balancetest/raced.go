//go:build race

package balancetest

const raced = true // by the detector
