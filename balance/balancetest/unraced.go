//go:build !race

package balancetest

const raced = false
