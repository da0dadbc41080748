package balance

import (
	"cmp"
	"slices"
)

// point is a point of a ring, and the member that it belongs to.
type point struct {
	at     uint64
	member int32
}

// circle is the points of a ring in their order, and an index to find them by.
type circle struct {
	points []point
	// start has the index of the first point in each of the equal parts of the
	// ring, of which there are about as many as points.
	start []int32
	shift int
}

// newCircle returns the circle of points, which are in any order. Of points at the
// same place the first comes first.
func newCircle(points []point) circle {
	if len(points) == 0 {
		return circle{}
	}
	var size int
	c := circle{points: make([]point, len(points))}
	size, c.shift = buckets(len(points))
	c.start = make([]int32, size+1)
	for _, pt := range points {
		c.start[pt.at>>c.shift+1]++
	}
	for b := range size {
		c.start[b+1] += c.start[b]
	}
	free := slices.Clone(c.start)
	for _, pt := range points {
		b := pt.at >> c.shift
		c.points[free[b]] = pt
		free[b]++
	}
	for b := range size {
		if part := c.points[c.start[b]:c.start[b+1]]; len(part) > 1 {
			slices.SortStableFunc(part, func(a, b point) int { return cmp.Compare(a.at, b.at) })
		}
	}
	return c
}

// from returns the index of the first point at key or after it. There are points.
func (c *circle) from(key uint64) int {
	at := int(c.start[key>>c.shift])
	for at < len(c.points) && c.points[at].at < key {
		at++
	}
	if at == len(c.points) {
		return 0
	}
	return at
}
