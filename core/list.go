package core

// list is waiters in the order of their turns.
type list struct{ head, tail *waiter }

// insert puts w in its turn, which is most often the last.
func (l *list) insert(w *waiter) {
	prev := l.tail
	for prev != nil && prev.turn > w.turn {
		prev = prev.prev
	}
	w.prev = prev
	if prev == nil {
		w.next, l.head = l.head, w
	} else {
		w.next, prev.next = prev.next, w
	}
	if w.next == nil {
		l.tail = w
	} else {
		w.next.prev = w
	}
}

// remove takes w out and reports whether l is empty then.
func (l *list) remove(w *waiter) bool {
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	return l.head == nil
}
