package balance

import "math/bits"

const (
	xxPrime1 = 0x9e3779b185ebca87
	xxPrime2 = 0xc2b2ae3d27d4eb4f
	xxPrime3 = 0x165667b19e3779f9
	xxPrime4 = 0x85ebca77c2b2ae63
	xxPrime5 = 0x27d4eb2f165667c5
)

// xxHash64 is XXH64 with seed 0 (Yann Collet, "xxHash fast digest algorithm", 0.1.1).
func xxHash64(s string) uint64 {
	n := uint64(len(s))
	h := uint64(xxPrime5)
	if len(s) >= 32 {
		prime1 := uint64(xxPrime1) // a variable, whose sums may overflow
		acc := [4]uint64{prime1 + xxPrime2, xxPrime2, 0, -prime1}
		for ; len(s) >= 32; s = s[32:] {
			for i := range acc {
				acc[i] = xxRound(acc[i], le64(s[8*i:]))
			}
		}
		h = bits.RotateLeft64(acc[0], 1) + bits.RotateLeft64(acc[1], 7) + bits.RotateLeft64(acc[2], 12) + bits.RotateLeft64(acc[3], 18)
		for _, a := range acc {
			h = (h^xxRound(0, a))*xxPrime1 + xxPrime4
		}
	}
	h += n
	for ; len(s) >= 8; s = s[8:] {
		h = bits.RotateLeft64(h^xxRound(0, le64(s)), 27)*xxPrime1 + xxPrime4
	}
	if len(s) >= 4 {
		h = bits.RotateLeft64(h^uint64(le32(s))*xxPrime1, 23)*xxPrime2 + xxPrime3
		s = s[4:]
	}
	for i := range len(s) {
		h = bits.RotateLeft64(h^uint64(s[i])*xxPrime5, 11) * xxPrime1
	}
	h = (h ^ h>>33) * xxPrime2
	h = (h ^ h>>29) * xxPrime3
	return h ^ h>>32
}

// xxRound is a round of one accumulator.
func xxRound(acc, input uint64) uint64 {
	return bits.RotateLeft64(acc+input*xxPrime2, 31) * xxPrime1
}

// le32 and le64 return the first bytes of s as a number, the least first.
func le32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func le64(s string) uint64 { return uint64(le32(s)) | uint64(le32(s[4:]))<<32 }
