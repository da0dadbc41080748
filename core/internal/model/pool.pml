/*
 * The protocol by which calls lease, release, wait, are served and give up, and
 * by which connections come and go: package core at the commit that README.md
 * names. README.md says what is modelled, what is not, and how to run it.
 *
 * An inline or proctype has the name of the function of core, or of
 * core/internal/slots, that it models. The line "sync:" above it lists, in the
 * order of the source, the synchronising operations and the modelled functions
 * that the function calls; model_test.go compares it with the source. Names that
 * end in an underscore are the model's own.
 *
 * One statement, or one atomic or d_step block, is one step. A block holds at most
 * one access to a variable that others may touch at that moment: everything else
 * in it is guarded by a mutex that the process holds, or is its own.
 *
 * WITHOUT_x takes the re-check x out of the model; ./run has the list.
 */

#ifndef CALLERS
#define CALLERS 3
#endif
#ifndef ENDPOINTS
#define ENDPOINTS 1
#endif
#ifndef POSITIONS
#define POSITIONS 1   /* MaxActive of each endpoint */
#endif
#ifndef OPEN
#define OPEN POSITIONS /* connections that each endpoint has at first, idle */
#endif
#ifndef TOTAL
#define TOTAL 0       /* MaxTotal; 0 is none */
#endif
#ifndef ROUNDS
#define ROUNDS 1      /* calls of each caller, one after the other */
#endif
#ifndef TASKS
#define TASKS 2       /* dials and closes that run at a time */
#endif
#ifndef CANCELS
#define CANCELS 0     /* callers whose context may end */
#endif
#ifndef HOLDS
#define HOLDS 0       /* callers that may keep their lease for ever */
#endif
#ifndef DISCARDS
#define DISCARDS 0    /* leases that may end by Discard, with a cause that the peer is to blame for */
#endif
#ifndef FAULTS
#define FAULTS 0      /* connections that may be found broken before they are leased */
#endif
#ifndef REFUSALS
#define REFUSALS 0    /* dials that may fail */
#endif
#ifndef TICKS
#define TICKS 0       /* how often dialHedge may pass */
#endif
#ifndef HANGS
#define HANGS 0       /* dials that may take for ever */
#endif
#ifndef NAMED
#define NAMED 0       /* the last NAMED callers want endpoint 0 */
#endif

#define NSLOTS (ENDPOINTS * POSITIONS)
#define none   15
#define endpoint_(x) ((x) / POSITIONS)
#define bit_(x)      (1 << ((x) % POSITIONS))
#define all_   ((1 << POSITIONS) - 1)

/* Defined or not:
   STALE    the first caller ends its lease twice
   LEAVE    the last endpoint leaves the set
   CLOSE    the pool is closed
   RESET    endpoint 0 is told to close what is open
   LASTING  no back-off is ever over
   EAGER    what may happen a few times happens at the first occasions, to search less
   IN_TURN  a caller begins when the one before waits, holds or is over, likewise */
#ifdef EAGER
#define spared_(n) ((n) == 0)
#else
#define spared_(n) true
#endif

/* Slots: package slots. One slot is one connection; sharing is not modelled. */
byte word[ENDPOINTS];     /* Set.Word: the idle bits */
bool retired[NSLOTS];     /* Slot.gen, its flag */
byte object[NSLOTS];      /* which connection is, or was last, in the position */
#ifdef STALE
byte uses[NSLOTS];        /* Slot.gen, its number */
#define use_(x) uses[x]++
#define uses_(x) uses[x]
#else
#define use_(x) skip
#define uses_(x) 0
#endif

/* Sub-pools. */
#define vacant 0
#define opened 1
#define taken  2
bool smu[ENDPOINTS];
byte conns[NSLOTS];
byte open[ENDPOINTS], dialing[ENDPOINTS], closing[ENDPOINTS], handingOver[ENDPOINTS];
short demand[ENDPOINTS];
bool draining[ENDPOINTS], failing[ENDPOINTS], backingOff[ENDPOINTS], down[ENDPOINTS];
bool timer[ENDPOINTS];    /* subpool.retry is armed */
#define takenLocked(x)  (open[x] + dialing[x] + closing[x])
#define comingLocked(x) (dialing[x] + handingOver[x])

/* The pool. */
byte view = (1 << ENDPOINTS) - 1;
bool closed;
byte total = (TOTAL -> ENDPOINTS * OPEN : 0);
byte dials_[ENDPOINTS];   /* dials begun that no task has taken up */
byte hung_[ENDPOINTS];    /* dials that take for ever */
byte closes_[ENDPOINTS];  /* likewise closes: bits of positions */

/* The queue. list_ is open and named in the order of turns. */
bool qmu;
byte awaited, settledAny, length_;
byte list_[CALLERS];

/* Waiters. Each caller has its own, which is used again in each call as those of
   waitQueue.idle are: with a token that came late, if there is one. */
bool ready[CALLERS], woken[CALLERS], queued[CALLERS], settled[CALLERS], late[CALLERS];
byte slot[CALLERS] = none;
byte room[CALLERS] = none, dial[CALLERS] = none, left[CALLERS] = none;
#define only_(w)      ((NAMED && (w) >= CALLERS - NAMED) -> 0 : none)
#define accepts(w, x) (only_(w) == none || only_(w) == (x))
#define simple(w)     (only_(w) == none)

/* What the checks remember, and how often the environment may still act. */
#define calling 0
#define waiting 1
#define holding 2
#define over    3
byte state_[CALLERS];
bool owned_[NSLOTS], leased_[NSLOTS];
byte ahead_[CALLERS];     /* those who waited when this call began, and still do */
byte seen_[NSLOTS];       /* those who waited for the slot when its lease ended, and still do */
bool returned_[CALLERS];  /* its turn had come, and the connection was no good */
byte owed_[NSLOTS] = none; /* whose turn it was when this position's connection was no good */
byte cancels_, holds_, discards_, faults_, refusals_, ticks_, hangs_;
hidden byte k_, c_, m_;

/* With MaxTotal, two things that others may touch are touched under a sub-pool's lock: two steps. */
#if TOTAL
#define next_ }; atomic {
#else
#define next_
#endif

/* ---------------------------------------------------------------- slots */

inline own_(x) { assert(!owned_[x]); owned_[x] = true }

/* TryAcquire and the loop of Acquire: what is tried again changed nothing. */
/* sync: Word.Load Word.CompareAndSwap gen.Load */
inline Acquire(s0) {
	d_step {
		sl = none; m_ = 0;
		do
		:: m_ < POSITIONS && sl == none ->
			if
			:: word[s0] & (1 << m_) ->
				word[s0] = word[s0] & ~(1 << m_); sl = s0 * POSITIONS + m_; own_(sl);
				passed = (i < CALLERS -> ahead_[i] & seen_[sl] : 0)
			:: else
			fi;
			m_++
		:: else -> break
		od;
		m_ = 0
	}
}

/* sync: Word.Add Word.Load Word.CompareAndSwap */
inline Take(x) { /* sets ok */
	if
	:: word[endpoint_(x)] & bit_(x) -> word[endpoint_(x)] = word[endpoint_(x)] & ~bit_(x); own_(x); ok = true
	:: else -> ok = false
	fi
}

/* sync: Word.Add */
inline Put(x) {
	atomic { assert(owned_[x]); owned_[x] = false; word[endpoint_(x)] = word[endpoint_(x)] | bit_(x) }
}

/* ---------------------------------------------------------------- the queue */

/* sync: */
inline settleLocked(w0, to) {
	if
	:: settled[w0] != to ->
		settled[w0] = to;
		if
		:: simple(w0) && to -> settledAny++
		:: simple(w0) && !to -> assert(settledAny > 0); settledAny--
		:: else
		fi
	:: else
	fi
}

/* The first waiter that accepts s0; wants and deliver ask for it. */
/* sync: */
inline firstLocked(s0) { /* sets w */
	w = none; k_ = 0;
	do
	:: k_ < length_ && w == none ->
		if
		:: accepts(list_[k_], s0) -> w = list_[k_]
		:: else
		fi;
		k_++
	:: else -> break
	od;
	k_ = 0
}

/* sync: settleLocked woken.Store signal */
inline wakeLocked(w0) {
	d_step {
#ifndef WITHOUT_unsettle
		settleLocked(w0, false);
#endif
		woken[w0] = true
	}
	signal(w0)
}

/* sync: */
inline signal(w0) { ready[w0] = true }

/* f0, f1, f2 are the endpoints to wake for; the calls of itself are turns of the loop. */
/* sync: woken.Load wakeLocked wakeFirstLocked */
inline wakeFirstLocked() {
	do
	:: f0 != none ->
		d_step {
			w = none; k_ = 0;
			do
			:: k_ < length_ && w == none ->
				c_ = list_[k_];
				if
				:: accepts(c_, f0) && !woken[c_] && (dial[c_] == none || late[c_] && dial[c_] != f0) -> w = c_
				:: else
				fi;
				k_++
			:: else -> break
			od;
			k_ = 0; c_ = 0;
			if
			:: w != none ->
				c_ = room[w]; room[w] = f0;
#ifdef WITHOUT_room_replaced
				c_ = none;
#endif
				if
				:: c_ != none -> f0 = c_
				:: else -> f0 = f1; f1 = f2; f2 = none
				fi;
				c_ = 0
			:: else -> f0 = f1; f1 = f2; f2 = none
			fi
		}
		if
		:: w != none -> wakeLocked(w); w = none
		:: else
		fi
	:: else -> break
	od
}

/* Each endpoint once. */
/* sync: wakeFirstLocked */
inline passOnLocked(a, b, c) {
	d_step {
		f0 = a; f1 = b; f2 = c;
		if
		:: f2 == f1 || f2 == f0 -> f2 = none
		:: else
		fi;
		if
		:: f1 == f0 || f1 == none -> f1 = f2; f2 = none
		:: else
		fi;
		if
		:: f0 == none -> f0 = f1; f1 = f2; f2 = none
		:: else
		fi
	}
	wakeFirstLocked()
}

/* sync: undemand settleLocked awaited.Add passOnLocked */
inline unlinkLocked(w0) { /* the first half: one step, unless a demand is taken back in it */
	if
	:: queued[w0] ->
		f0 = room[w0]; f1 = left[w0]; f2 = dial[w0];
		room[w0] = none; left[w0] = none; dial[w0] = none;
		settleLocked(w0, false);
		queued[w0] = false;
		forget_(w0);
		if
		:: f2 != none -> demand[f2]--; ok = true
		:: else -> unawaited_(); ok = false
		fi
#ifdef WITHOUT_room_passed_on
		; f0 = none
#endif
#ifdef WITHOUT_left_passed_on
		; f1 = none
#endif
#ifdef WITHOUT_dial_passed_on
		; f2 = none
#endif
	:: else -> f0 = none; f1 = none; f2 = none; ok = false
	fi
}

/* The second half. */
inline unlinked_() {
	if
	:: ok -> atomic { unawaited_(); ok = false }
	:: else
	fi;
	if
	:: f0 != none || f1 != none || f2 != none -> passOnLocked(f0, f1, f2)
	:: else
	fi
}

/* The last waiter is off the list. */
inline unawaited_() {
	if
#ifdef WITHOUT_awaited_in_link
	:: length_ == 0 && awaited > 0 -> awaited--
#else
	:: length_ == 0 -> awaited--
#endif
	:: else
	fi
}

/* Off the list, and out of what the checks remember. */
inline forget_(w0) {
	k_ = 0; c_ = 0;
	do
	:: k_ < length_ ->
		if
		:: list_[k_] == w0 -> c_ = 1
		:: else -> list_[k_ - c_] = list_[k_]
		fi;
		k_++
	:: else -> break
	od;
	assert(c_ == 1);
	length_--; list_[length_] = 0;
	k_ = 0; c_ = 0;
	do
	:: k_ < CALLERS -> ahead_[k_] = ahead_[k_] & ~(1 << w0); k_++
	:: else -> break
	od;
	k_ = 0;
	do
	:: k_ < NSLOTS -> seen_[k_] = seen_[k_] & ~(1 << w0); k_++
	:: else -> break
	od;
	k_ = 0
}

/* sync: awaited.Add */
inline linkLocked(w0, first) {
	queued[w0] = true;
	if
	:: first ->
		k_ = length_;
		do
		:: k_ > 0 -> list_[k_] = list_[k_ - 1]; k_--
		:: else -> break
		od;
		list_[0] = w0
	:: else -> list_[length_] = w0
	fi;
	length_++;
#ifndef WITHOUT_awaited_in_link
	if
	:: length_ == 1 -> awaited++
	:: else
	fi
#endif
}

/* sync: mu.Lock linkLocked settleLocked mu.Unlock */
inline enter() { /* sets futile */
	atomic {
		!qmu;
		linkLocked(i, false);
		futile = settledAny > 0;
		if
		:: futile -> settleLocked(i, true)
		:: else
		fi
	}
}

/* sync: mu.Lock linkLocked mu.Unlock */
inline reenter() {
	atomic {
		!qmu;
#ifdef WITHOUT_first_turn
		linkLocked(i, false);
#else
		linkLocked(i, true);
#endif
		if
		:: owed_[sl] == i -> owed_[sl] = none
		:: else
		fi
	}
}

/* sync: mu.Lock woken.Load settleLocked mu.Unlock */
inline settle() {
	atomic {
		!qmu;
		if
#ifdef WITHOUT_queued_in_settle
		:: !woken[i] ->
#else
#ifdef WITHOUT_woken_in_settle
		:: queued[i] ->
#else
		:: queued[i] && !woken[i] ->
#endif
#endif
			room[i] = none; settleLocked(i, true)
		:: else
		fi
	}
}

/* sync: mu.Lock mu.Unlock demand.Add undemand */
inline await(d, l) { /* sets ok */
	atomic {
		!qmu;
		ok = queued[i];
		if
		:: ok ->
			late[i] = l;
			if
			:: dial[i] != d ->
				left[i] = dial[i]; dial[i] = d;
#ifndef WITHOUT_demand_in_await
				if
				:: d != none -> demand[d]++
				:: else
				fi;
#endif
				if
				:: left[i] != none -> demand[left[i]]--
				:: else
				fi
			:: else
			fi
		:: else
		fi
	}
}

/* sync: mu.Lock passOnLocked mu.Unlock */
inline begun() {
	atomic {
		!qmu -> qmu = true;
		f0 = none; f1 = none;
		if
		:: queued[i] && dial[i] != none ->
			f0 = room[i]; f1 = left[i];
			room[i] = none; left[i] = none;
			if
			:: f0 == dial[i] -> f0 = none
			:: else
			fi
		:: else
		fi
	}
	passOnLocked(f0, f1, none);
	qmu = false
}

/* sync: mu.Lock unlinkLocked mu.Unlock recycle */
inline leave() { /* sets sl */
	atomic { !qmu -> qmu = true; unlinkLocked(i) }
	unlinked_();
	atomic { qmu = false; recycle() }
}

/* sync: slot.Load woken.Store recycle */
inline delivered() { /* sets sl */
	if
	:: slot[i] == none ->
#ifndef WITHOUT_woken_before_look
		woken[i] = false;
#endif
		sl = none
	:: else -> recycle()
	fi
}

/* Nobody knows the waiter any more, but for the signal that follows the delivery. */
/* sync: slot.Load slot.Store woken.Store Put */
inline recycle() {
	d_step { sl = slot[i]; slot[i] = none; woken[i] = false; ready[i] = false; late[i] = false; dial[i] = none; armed = false }
}

/* sync: mu.Lock firstLocked mu.Unlock unlinkLocked slot.Store mu.Unlock signal */
inline deliver(s0, x) { /* sets ok */
	atomic {
		!qmu -> firstLocked(s0);
		g = w; w = none;
		if
		:: g != none -> qmu = true; turn_(g, s0, x); unlinkLocked(g)
		:: else -> ok = false
		fi;
		seen_[x] = 0
	}
	if
	:: g != none ->
		unlinked_();
		atomic {
			assert(!queued[g] && slot[g] == none && state_[g] != over); /* nothing for a call that has left */
			slot[g] = x
		}
		qmu = false;
		atomic { signal(g); g = none; ok = true }
	:: else
	fi
}

/* Nobody overtakes a call whose turn had come. */
inline turn_(w0, s0, x) {
	assert(queued[w0] && (returned_[w0] || !(ahead_[w0] & seen_[x])));
	k_ = 0;
	do
	:: k_ < length_ -> assert(returned_[w0] || !returned_[list_[k_]] || !accepts(list_[k_], s0)); k_++
	:: else -> break
	od;
	k_ = 0
}

/* sync: mu.Lock mu.Unlock firstLocked */
inline wants(s0) { /* sets ok */
	atomic { !qmu -> firstLocked(s0); ok = w != none; w = none }
}

/* A change of the set. */
/* sync: mu.Lock settleLocked mu.Unlock */
inline restrict() {
	atomic {
		!qmu;
		if
		:: queued[i] -> settleLocked(i, false)
		:: else
		fi
	}
}

/* sync: mu.Lock wakeFirstLocked mu.Unlock */
inline wakeFirst(s0) {
	atomic { !qmu -> qmu = true; f0 = s0 }
	wakeFirstLocked();
	qmu = false
}

/* sync: mu.Lock wakeLocked wakeLocked mu.Unlock */
inline wakeAll() {
	atomic { !qmu -> qmu = true; n = 0 }
	do
	:: n < length_ -> wakeLocked(list_[n]); n++
	:: else -> break
	od;
	atomic { qmu = false; n = 0 }
}

/* sync: awaited.Load wakeAll wakeFirst */
inline canDial(s0) {
	if
	:: awaited == 0 -> skip
	:: else ->
#if TOTAL
		wakeAll()
#else
		wakeFirst(s0)
#endif
	fi
}

/* ---------------------------------------------------------------- how a connection comes back */

/* giveBack, releasedAwaited and offer call each other in their last lines: those
   calls are turns of giveBack's loop. back is the slot to give back, y one that became
   idle while calls waited. */
/* sync: awaited.Load deliver Gen PutWithin lose awaited.Load releasedAwaited */
inline giveBack() {
	do
	:: back != none ->
		ok = false;
#ifndef WITHOUT_awaited_before_put
		if
		:: awaited != 0 -> deliver(endpoint_(back), back)
		:: else -> seen_[back] = 0
		fi;
#else
		seenBy_(back);
#endif
		if
		:: ok -> back = none
		:: else ->
			atomic { o = object[back]; y = back; back = none }
			Put(y);
#ifdef WITHOUT_awaited_after_put
			y = none
#else
			if
			:: awaited != 0
			:: else -> y = none
			fi
#endif
		fi;
		ok = false
	:: y != none -> releasedAwaited(y); y = none
	:: else -> break
	od;
	o = 0
}

/* Who waits for x now. */
inline seenBy_(x) {
	d_step {
		seen_[x] = 0; k_ = 0;
		do
		:: k_ < length_ ->
			if
			:: accepts(list_[k_], endpoint_(x)) -> seen_[x] = seen_[x] | (1 << list_[k_])
			:: else
			fi;
			k_++
		:: else -> break
		od;
		k_ = 0
	}
}

/* y is a slot that is not the caller's any more: another connection may have its position. */
/* sync: Gen offer mu.Lock Placed Take mu.Unlock retire */
inline releasedAwaited(y0) {
	if
#ifdef WITHOUT_retired_after_put
	:: true -> offer(endpoint_(y0))
#else
	:: !(retired[y0] || object[y0] != o) -> offer(endpoint_(y0))
	:: else ->
		atomic {
			!smu[endpoint_(y0)] -> ok = false;
			if
#ifdef WITHOUT_placed
			:: true ->
#else
			:: conns[y0] == opened && object[y0] == o ->
#endif
				Take(y0)
			:: else
			fi
		}
		if
		:: ok -> assert(object[y0] == o); retire(y0)
		:: else
		fi
#endif
	fi
}

/* sync: wants Acquire retire deliver giveBack wakeAll */
inline offer(s0) { /* sets back */
	do
	:: true ->
		wants(s0);
		if
		:: ok ->
			Acquire(s0);
			if
			:: sl == none -> break /* and no wakeAll */
			:: else ->
				if
				:: retired[sl] -> retire(sl)
				:: else ->
					deliver(s0, sl);
					if
					:: !ok ->
#ifdef WITHOUT_recheck_in_offer
						Put(sl);
#else
						back = sl;
#endif
						break
					:: else
					fi
				fi
			fi;
			sl = none
#ifdef WITHOUT_offer_again
			; break
#endif
		:: else ->
#if TOTAL && !defined(WITHOUT_wakeAll_in_offer)
			wakeAll();
#endif
			break
		fi
	od;
	atomic { sl = none; ok = false }
}

/* ---------------------------------------------------------------- connections end */

/* sync: mu.Lock Vacate mu.Unlock close */
inline retire(x) {
	atomic {
		!smu[endpoint_(x)];
		assert(owned_[x] && retired[x] && conns[x] == opened);
		owned_[x] = false;
		conns[x] = taken;
		open[endpoint_(x)]--; closing[endpoint_(x)]++;
		if
		:: open[endpoint_(x)] == 0 && failing[endpoint_(x)] -> down[endpoint_(x)] = true
		:: else
		fi;
		closes_[endpoint_(x)] = closes_[endpoint_(x)] | bit_(x)
	}
}

/* sync: markRetired mu.Lock takeLocked markRetired mu.Unlock retire retireAll */
inline lose(x) { /* with siblings */
	retired[x] = true;
	atomic { !smu[endpoint_(x)] -> smu[endpoint_(x)] = true; p = 0; idle = 0 }
	do
	:: p < POSITIONS ->
		y = endpoint_(x) * POSITIONS + p;
		if
		:: conns[y] == opened && y != x ->
			atomic {
				Take(y);
				if
				:: ok -> idle = idle | bit_(y)
				:: else
				fi
			}
			if
			:: ok -> retired[y] = true
			:: else
			fi
		:: else
		fi;
		p++
	:: else -> break
	od;
	atomic { smu[endpoint_(x)] = false; p = 0; y = none; ok = false }
	retire(x);
	retireAll(endpoint_(x))
}

/* lose without siblings: of a connection that is not fit for use. */
/* sync: lose */
inline reject(x) { retired[x] = true; retire(x) }

/* sync: retire */
inline retireAll(s0) {
	do
	:: p < POSITIONS ->
		if
		:: idle & (1 << p) -> retire((s0 * POSITIONS + p))
		:: else
		fi;
		p++
	:: else -> break
	od;
	atomic { p = 0; idle = 0 }
}

/* sync: mu.Lock mu.Unlock markRetired takeLocked */
inline surplus(s0, most, leased) { /* sets k and idle */
	atomic { !smu[s0] -> smu[s0] = true; p = 0; k = 0; idle = 0; none_ = false }
	do
	:: p < POSITIONS && k < most ->
		x = s0 * POSITIONS + p;
		if
		:: conns[x] == opened && !retired[x] && (none_ || word[s0] & bit_(x)) ->
			retired[x] = true;
			atomic {
				Take(x);
				if
				:: ok -> idle = idle | bit_(x)
				:: else
				fi
			}
			k++
		:: else
		fi;
		p++
	:: p == POSITIONS && k < most && leased && !none_ -> none_ = true; p = 0
	:: else -> break
	od;
	atomic { p = 0; ok = false; x = none; none_ = false; smu[s0] = false }
}

/* sync: surplus retireAll */
inline shed(s0, most, leased) {
	surplus(s0, most, leased);
	retireAll(s0)
}

/* sync: mu.Lock giveTotal reserveLocked emptyLocked mu.Unlock begin wakeAll canDial */
inline closedOne(s0, x) {
	atomic {
		!smu[s0] -> smu[s0] = true; conns[x] = vacant; closing[s0]--; giveTotal();
		next_
#ifndef WITHOUT_reserve_after_close
		demanded = demand[s0]; next_
		reserveLocked(s0);
#endif
		none_ = takenLocked(s0) == 0; smu[s0] = false
	}
	if
	:: none_ ->
#ifndef WITHOUT_wakeAll_after_close
		wakeAll()
#else
		skip
#endif
	:: else ->
#ifndef WITHOUT_canDial_after_close
		canDial(s0)
#else
		skip
#endif
	fi;
	none_ = false
}

/* ---------------------------------------------------------------- dials */

/* sync: total.Add */
inline giveTotal() {
#if TOTAL
	assert(total > 0); total--;
#endif
	skip
}

/* Under the lock of s0, which the caller gives back: one step reads the demand,
   one takes from the total. begin is part of it, as the dial itself begins when it likes. */
/* sync: demand.Load takeTotal */
inline reserveLocked(s0) {
	if
	:: draining[s0] || backingOff[s0] -> skip
	:: else ->
		m_ = (demanded > 0 -> demanded : 0);                     /* calls */
		c_ = ((open[s0] == 0 && down[s0] && m_ == 0) -> 1 : m_); /* want */
		m_ = c_;
		k_ = (failing[s0] -> 1 : POSITIONS);                     /* limit */
		do
		:: comingLocked(s0) < c_ && dialing[s0] < k_ && takenLocked(s0) < POSITIONS && (TOTAL == 0 || total < TOTAL) ->
#if TOTAL
			total++;
#endif
			dialing[s0]++; dials_[s0]++
		:: else -> break
		od
	fi;
	m_ = 0; c_ = 0; k_ = 0; demanded = 0;
	assert(takenLocked(s0) <= POSITIONS && total <= TOTAL)
}

/* sync: mu.Lock reserveLocked mu.Unlock begin */
inline dialAwaited(s0) { /* sets ok */
	atomic {
		!smu[s0] -> smu[s0] = true;
		demanded = demand[s0]; next_
		reserveLocked(s0);
		ok = comingLocked(s0) > 0 && !draining[s0]; smu[s0] = false
	}
}

/* sync: mu.Lock mu.Unlock demand.Load */
inline capacity(s0) { /* sets grows and busy */
	atomic {
		!smu[s0];
		if
		:: draining[s0] || backingOff[s0] -> grows = false
		:: else -> grows = comingLocked(s0) > demand[s0] || takenLocked(s0) < POSITIONS
		fi;
		busy = busy || grows && s0 != gaveUp || takenLocked(s0) > 0
	}
}

/* sync: mu.Lock reserveLocked demand.Load mu.Unlock begin wakeAll */
inline handedOver(s0, recovered) {
	atomic {
		!smu[s0] -> smu[s0] = true; handingOver[s0]--;
#ifndef WITHOUT_reserve_after_handOver
		demanded = demand[s0]; next_
		reserveLocked(s0);
#endif
		skip
	}
	atomic { none_ = demand[s0] > 0 && comingLocked(s0) == 0; smu[s0] = false
#ifdef WITHOUT_vain
		; none_ = false
#endif
	}
	if
	:: none_ || recovered -> wakeAll()
	:: else
	fi;
	none_ = false
}

/* sync: mu.Unlock canDial mu.Unlock dialFailed */
inline failedLocked(s0) { /* the lock is held; dialFailed is its wakeAll */
	if
	:: draining[s0] -> atomic { smu[s0] = false } canDial(s0)
	:: else ->
		atomic {
			failing[s0] = true; backingOff[s0] = true; timer[s0] = true;
			if
			:: open[s0] == 0 -> down[s0] = true
			:: else
			fi;
			smu[s0] = false
		}
#ifdef WITHOUT_wakeAll_after_failure
		skip
#else
		wakeAll()
#endif
	fi
}

/* ---------------------------------------------------------------- a call */

/* Retired, or a check finds it broken. */
/* sync: validate */
inline prepare(x) { /* sets ok */
	if
	:: retired[x] -> ok = false
	:: !retired[x] && faults_ > 0 -> faults_--; ok = false
	:: !retired[x] && spared_(faults_) -> ok = true
	fi
}

/* accept is prepare and, in vain, reject, which is lose. */
/* sync: prepare reject */
inline accept(x) { /* sets sl to none in vain */
	prepare(x);
	if
	:: ok
	:: else -> reject(x); sl = none
	fi
}

/* sync: Acquire accept capacity */
inline try(e) { /* sets sl, or offer_ and busy */
	do
	:: true ->
		Acquire(e);
		if
		:: sl == none -> break
		:: else ->
			accept(sl);
			if
			:: sl != none -> break
			:: else
			fi
		fi
	od;
	if
	:: sl == none ->
		capacity(e);
		if
		:: grows && e != gaveUp && offer_ == none -> offer_ = e
		:: else
		fi;
		grows = false
	:: else
	fi
}

/* A name, or what a picker may say. */
inline pick_() {
	if
	:: v & 1 -> s = 0
#if ENDPOINTS > 1
	:: simple(i) && (v & 2) -> s = 1
#endif
	fi
}

/* choose and, in vain, scan, of which pass is the loop: n counts the looks. choose
   asks the picker once here: each time more is only one more look. spare is only a scan. */
/* sync: choose scan */
inline search(first) {
	atomic { offer_ = none; busy = false; n = first }
	do
	:: n <= ENDPOINTS && sl == none && (n == 0 || simple(i)) ->
		if
		:: n == 0 -> pick_()
		:: n == 1 -> busy = false;
#if ENDPOINTS > 1
			if
			:: s = 0
			:: s = 1
			fi
#else
			s = 0
#endif
		:: else -> s = (s + 1) % ENDPOINTS
		fi;
		if
		:: v & (1 << s) -> try(s)
		:: else
		fi;
		if
		:: n == 0 && offer_ != none -> break
		:: else
		fi;
		n++
	:: else -> break
	od;
	atomic { n = 0; s = 0 }
}

#if TOTAL
/* sync: total.Load */
inline usedUp() { ok = total >= TOTAL } /* sets ok */

/* sync: scan shed */
inline spare(s0) {
	search(1);
	if
	:: sl == none ->
		y = 0;
		do
		:: y < ENDPOINTS ->
			if
			:: y != s0 && (v & (1 << y)) ->
				shed(y, 1, false);
				if
				:: k > 0 -> break
				:: else
				fi
			:: else
			fi;
			y++
		:: else -> break
		od;
		atomic { y = none; k = 0; offer_ = none }
	:: else
	fi
}
#endif

/* The dial that it waits for is not to come. */
/* sync: await */
inline abandon() {
	atomic { want = none; armed = false }
	await(none, false)
}

/* look calls itself in its last line: that call is a turn of the loop. */
/* sync: dialAwaited abandon search search await dialAwaited begun abandon usedUp look spare await settle */
inline look() { /* sets sl, or busy */
#ifndef WITHOUT_dialAwaited_in_look
	if
	:: want != none ->
		dialAwaited(want);
		if
		:: ok
		:: else -> abandon()
		fi
	:: else
	fi;
#endif
	lost_ = false;
	do
	:: true ->
		search(0);
		if
		:: sl == none && offer_ == none && want == none && gaveUp != none -> gaveUp = none
		:: sl == none && offer_ != none && (want == none || want == gaveUp) ->
			await(offer_, false);
			if
#ifdef WITHOUT_queued_in_await
			:: true ->
#else
			:: !ok -> busy = true; lost_ = true; break
			:: else ->
#endif
				want = offer_;
#ifdef WITHOUT_look_after_demand
				ok = true;
#else
#ifdef WITHOUT_demand_in_await
				demand[want]++;
#endif
				dialAwaited(want);
#endif
				if
				:: ok ->
#ifndef WITHOUT_begun
					begun();
#endif
					armed = true;
					break
				:: else ->
					abandon();
					if
					:: !queued[i] -> assert(!again_); again_ = true /* a call that is served does not look for ever */
					:: else
					fi;
#ifdef WITHOUT_look_again
					busy = true;
					break
#endif
#if TOTAL
					usedUp();
					if
					:: ok ->
						w = offer_;
						spare(w);
						atomic { w = none; busy = true }
						break
					:: else
					fi
#endif
				fi
			fi
		:: else -> break
		fi
	od;
	offer_ = none;
	if
	:: sl != none || lost_
	:: else ->
		if
		:: want != none -> await(want, (want == gaveUp)); busy = true
		:: want == none && busy -> settle()
		:: else
		fi
	fi;
	atomic { lost_ = false; again_ = false; ok = false }
}

/* sync TryRelease: awaited.Load gen.CompareAndSwap Word.Add awaited.Load */
/* sync End: gen.CompareAndSwap endFlagged */
/* sync endFlagged: gen.Load gen.CompareAndSwap */
/* sync release: TryRelease End releasedAwaited giveBack retire */
/* sync discard: End lose */
/* sync getSlow: getSlow view.Load choose enter leave giveBack view.Load restrict look restrict look delivered giveBack reenter prepare reenter reject */
/* get and getSlow of get.go and wait.go, then release or discard of lease.go. */
/* sync: getSlow view.Load getSlow TryAcquire Acquire getSlow Gen accept getSlow */
proctype get(byte i) {
	byte s, sl = none, w = none, g = none, n, f0 = none, f1 = none, f2 = none, p, idle, y = none, o, k;
	byte v, want = none, gaveUp = none, offer_ = none, back = none, found = none, passed, round, mine = none, x = none;
	short demanded;
	bool ok, futile, busy, grows, armed, none_, lost_, again_;
#ifdef STALE
	byte gen, time;
#endif

#ifdef IN_TURN
	i == 0 || state_[i - 1] != calling;
#endif
again:
	skip;
	atomic {
		state_[i] = calling; returned_[i] = false; ahead_[i] = 0; k_ = 0;
		do
		:: k_ < length_ -> ahead_[i] = ahead_[i] | (1 << list_[k_]); k_++
		:: else -> break
		od;
		k_ = 0;
		v = view
	}
	if
	:: v == 0
	:: else ->
		pick_();
		Acquire(s);
		if
		:: sl != none ->
			accept(sl);
			if
			:: sl != none -> goto got
			:: else
			fi
		:: else
		fi
	fi;

getSlow:
	v = view;
	if
	:: v == 0 -> goto ended
	:: else
	fi;
	enter();
#ifdef WITHOUT_look_after_enter
	futile = true;
#endif
	do
	:: true ->
		atomic {
			n = view;
			futile = futile && n == v && simple(i)
		}
		if
		:: n != v || !simple(i) -> v = n; restrict()
		:: else
		fi;
		n = 0;
		if
		:: v == 0 -> break
		:: v != 0 && futile
		:: v != 0 && !futile ->
			look();
			if
			:: sl != none -> break
			:: sl == none && !busy ->
#if REFUSALS == 0
				assert(view != (1 << ENDPOINTS) - 1); /* ErrUnavailable, where each endpoint can be dialed */
#endif
				break
			:: else
			fi
		fi;
		atomic { busy = false; futile = false; state_[i] = waiting }
#ifdef WITHOUT_awaited_in_link
		atomic {
			if
			:: queued[i] && awaited == 0 -> awaited++
			:: else
			fi
		}
#endif
wait:
		if
		:: ready[i] -> atomic { ready[i] = false; state_[i] = calling }
			delivered();
			if
			:: sl != none ->
				atomic { want = none; gaveUp = none }
				prepare(sl);
				if
				:: ok -> goto got
				:: else ->
					atomic { returned_[i] = true; owed_[sl] = i }
#ifdef WITHOUT_turn_before_room
					reject(sl);
					reenter();
#else
					reenter();
					reject(sl);
#endif
					sl = none
				fi
			:: else
			fi
		:: armed && ticks_ > 0 -> atomic { ticks_--; armed = false; gaveUp = want; state_[i] = calling }
		:: cancels_ > 0 -> atomic { cancels_--; state_[i] = calling }
			break
		fi
	od;

	/* The deferred leave of getSlow. */
	atomic { found = sl; sl = none; want = none; gaveUp = none; busy = false }
	leave();
#ifdef WITHOUT_delivered_in_leave
	sl = none;
#endif
	if
	:: sl != none -> atomic { back = sl; sl = none } goto give_
	:: else
	fi;
left_:
	skip;
	atomic { sl = found; found = none }
	if
	:: sl == none -> goto ended
	:: else
	fi;

got:
	skip;
	atomic {
		assert(owned_[sl] && !leased_[sl] && conns[sl] == opened); /* one user */
		assert(!passed && owed_[sl] == none);                       /* nobody was overtaken */
		passed = 0; returned_[i] = false; ahead_[i] = 0; leased_[sl] = true; mine = sl; sl = none;
		v = 0; s = 0; ok = false; futile = false; want = none; gaveUp = none;
#ifdef STALE
		gen = uses_(mine); time = 0;
#endif
		state_[i] = holding
	}
	if
	:: holds_ > 0 -> holds_--; goto held
	:: spared_(holds_)
	fi;
	atomic { state_[i] = calling; leased_[mine] = false }

#ifdef STALE
release:
	skip;
#endif
	/* release: TryRelease, else End, of which endFlagged is the case of a flag. */
	if
	:: discards_ > 0 -> atomic { discards_--; use_(mine) } lose(mine)
	:: spared_(discards_) ->
		if
#ifdef WITHOUT_awaited_before_release
		:: true ->
			seenBy_(mine);
#else
		:: awaited == 0 ->
			seen_[mine] = 0;
#endif
			atomic {
				if
#ifdef STALE
				:: uses_(mine) != gen || retired[mine] -> ok = false
#else
				:: retired[mine] -> ok = false
#endif
				:: else -> use_(mine); ok = true
				fi;
				o = object[mine]
			}
			if
			:: ok ->
				Put(mine);
				if
#ifndef WITHOUT_awaited_after_release
				:: awaited != 0 ->
					y = mine
#endif
				:: else
				fi;
				goto give_
			:: else -> o = 0
			fi
#ifndef WITHOUT_awaited_before_release
		:: else
#endif
		fi;
		atomic {
			if
#if defined(STALE) && !defined(WITHOUT_gen)
			:: uses_(mine) != gen -> n = 0 /* Stale */
			:: uses_(mine) == gen && retired[mine] -> use_(mine); n = 1
			:: uses_(mine) == gen && !retired[mine] -> use_(mine); n = 2
#else
			:: retired[mine] -> use_(mine); n = 1 /* MustClose */
			:: else -> use_(mine); n = 2 /* Usable */
#endif
			fi
		}
		if
		:: n == 1 -> n = 0; retire(mine)
		:: n == 2 -> n = 0; back = mine; goto give_
		:: else
		fi
	fi;
	goto released;
give_:
	skip;
	giveBack();
	if
	:: state_[i] == calling && mine == none -> goto left_
	:: else
	fi;
released:
	skip;
#ifdef STALE
	if
	:: i == 0 && time == 0 -> time = 1; goto release /* once more */
	:: else
	fi;
	time = 0; gen = 0;
#endif
ended:
	skip;
	atomic { mine = none; sl = none; ok = false; passed = 0; v = 0; s = 0; round++; armed = false; futile = false; returned_[i] = false; ahead_[i] = 0; state_[i] = over }
	if
	:: round < ROUNDS -> goto again
	:: else
	fi;
held:
	skip
}

/* ---------------------------------------------------------------- what runs beside the calls */

/* sync: vacantLocked upLocked mu.Unlock close wakeAll Place mu.Unlock giveBack handedOver */
inline landLocked(s0) { /* sets x, and ok unless it is closed at once */
	atomic {
		!smu[s0];
		x = s0 * POSITIONS;
		do
		:: conns[x] == vacant -> break
		:: else -> x++
		od;
		assert(x < (s0 + 1) * POSITIONS);
		dialing[s0]--;
		recovered = failing[s0]; failing[s0] = false; timer[s0] = false; backingOff[s0] = false;
		up = !draining[s0] && down[s0]; down[s0] = down[s0] && !up;
#ifdef WITHOUT_draining_in_land
		ok = true;
#else
		ok = !draining[s0];
#endif
		if
		:: ok -> conns[x] = opened; open[s0]++; handingOver[s0]++; object[x] = (object[x] + 1) % 4; retired[x] = false; owned_[x] = true
		:: else -> conns[x] = taken; closing[s0]++
		fi
	}
}

/* sync dialed: mu.Lock landLocked giveTotal emptyLocked mu.Unlock canDial failedLocked */
/* dial, dialed and landLocked of dial.go; close and closedOne of retire.go. */
proctype task_() {
	byte i = none, s, sl = none, w = none, g = none, n, f0 = none, f1 = none, f2 = none, p, idle, y = none, o, back = none, passed, x = none;
	short demanded;
	bool ok, none_, up, recovered;

end:
	do
	:: atomic { dials_[0] > 0 -> dials_[0]--; s = 0 } goto dial_
	:: atomic { closes_[0] -> s = 0 } goto close_
#if ENDPOINTS > 1
	:: atomic { dials_[1] > 0 -> dials_[1]--; s = 1 } goto dial_
	:: atomic { closes_[1] -> s = 1 } goto close_
#endif
	od;

dial_:
	if
#if HANGS
	:: hangs_ > 0 -> atomic { hangs_--; hung_[s]++ }
#endif
	:: refusals_ > 0 -> refusals_--;
		atomic { !smu[s] -> smu[s] = true; dialing[s]--; giveTotal() }
		failedLocked(s)
	:: spared_(refusals_) && spared_(hangs_) ->
		landLocked(s);
		if
		:: !ok -> wakeAll(); atomic { closes_[s] = closes_[s] | bit_(x); x = none }
		:: else ->
			if
			:: up -> wakeAll()
			:: else
			fi;
			back = x; x = none;
			giveBack();
			handedOver(s, recovered)
		fi;
		atomic { up = false; recovered = false }
	fi;
	atomic { s = 0; ok = false; sl = none }
	goto end;

close_:
	skip;
	d_step {
		x = s * POSITIONS;
		do
		:: closes_[s] & bit_(x) -> break
		:: else -> x++
		od;
		closes_[s] = closes_[s] & ~bit_(x)
	}
	closedOne(s, x);
	atomic { s = 0; x = none }
	goto end
}

/* sync: mu.Lock reserveLocked mu.Unlock begin wakeAll */
proctype backOffOver(byte s) {
	byte n, w = none, f0 = none, f1 = none, f2 = none;
	short demanded;
end:
	do
	:: atomic { timer[s] -> timer[s] = false; backingOff[s] = false }
		atomic {
			!smu[s] -> smu[s] = true;
			demanded = demand[s]; next_
			reserveLocked(s);
			smu[s] = false
		}
#ifndef WITHOUT_wakeAll_after_backOff
		wakeAll()
#endif
	od
}

/* sync: mu.Lock mu.Unlock retireAllLocked emptyLocked mu.Unlock retireAll */
inline drain(s0) { /* pool.drain and subpool.drain */
#ifndef WITHOUT_awaited_in_drain
	awaited++;
#endif
	atomic { !smu[s0] -> smu[s0] = true; draining[s0] = true; timer[s0] = false; p = 0; idle = 0 }
	do
	:: p < POSITIONS ->
		x = s0 * POSITIONS + p;
		if
		:: conns[x] == opened ->
			retired[x] = true;
			atomic {
				Take(x);
				if
				:: ok -> idle = idle | bit_(x)
				:: else
				fi
			}
		:: else
		fi;
		p++
	:: else -> break
	od;
	atomic { p = 0; ok = false; x = none; smu[s0] = false }
	retireAll(s0)
}

/* sync apply: view.Load publish drain retireAll drain wakeAll */
/* sync teardown: closeView wakeAll drain close */
/* Whoever changes the set: an endpoint leaves, the pool is closed, or Reset is called. */
proctype change_() {
	byte n, p, idle, x = none, k;
	bool ok, none_;
#ifdef LEAVE
	view = view & ~(1 << (ENDPOINTS - 1)); /* apply */
	drain((ENDPOINTS - 1));
#ifndef WITHOUT_wakeAll_after_leave
	wakeAll();
#endif
#endif
#ifdef CLOSE
	atomic { view = 0; closed = true } /* teardown */
	wakeAll();
	drain(0);
#if ENDPOINTS > 1
	drain(1);
#endif
#endif
#ifdef RESET
	shed(0, POSITIONS, true);
#endif
#if defined(LEAVE) || defined(CLOSE)
end:
	draining[ENDPOINTS - 1] && takenLocked(ENDPOINTS - 1) == 0 -> awaited--;
#if defined(CLOSE) && ENDPOINTS > 1
	takenLocked(0) == 0 -> awaited--
#endif
#endif
	skip
}

/* When nothing moves any more, everybody has what there is to have. */
proctype rest_() {
	byte x, e, d, held;
	bool used;
end:
	timeout ->
	d_step {
		assert(!qmu);
		held = 0;
		x = 0;
		do
		:: x < NSLOTS ->
			e = endpoint_(x);
			assert(conns[x] != taken);
			assert(!owned_[x] || leased_[x]);
			if
			:: conns[x] == opened && !leased_[x] ->
				assert(word[e] & bit_(x) && !draining[e]);
#ifndef RESET
				assert(!retired[x]) /* a sweep ends what Reset has missed */
#endif
			:: leased_[x] -> assert(conns[x] == opened); held++
			:: else
			fi;
			x++
		:: else -> break
		od;
		e = 0;
		do
		:: e < ENDPOINTS ->
			assert(!smu[e] && !dials_[e] && !closes_[e] && dialing[e] == hung_[e] && !closing[e] && !handingOver[e]);
#if REFUSALS && defined(LASTING)
			used = takenLocked(e) == POSITIONS || backingOff[e];
#else
			assert(!backingOff[e]);
			used = takenLocked(e) == POSITIONS;
#if TOTAL
			used = used || total == TOTAL && held == TOTAL;
#else
			assert(!down[e] || hung_[e] || draining[e]); /* or it is tried again */
#endif
#endif
			d = 0; x = 0;
			do
			:: x < CALLERS ->
				assert(state_[x] != calling);
				if
				:: state_[x] == waiting ->
					/* It may go on waiting only for what is leased, to those who keep it. */
					assert(queued[x] && !ready[x] && view && slot[x] == none);
					if
					:: accepts(x, e) && (view & (1 << e)) && dial[x] == none -> assert(!word[e] && used)
					:: else
					fi;
					if
					:: dial[x] == e -> d++
					:: else
					fi
				:: else -> assert(!queued[x] && slot[x] == none)
				fi;
				x++
			:: else -> break
			od;
			/* Whoever waits for a dial waits for one that hangs, and has no part in those of others. */
			assert(demand[e] == d && (d == 0 || hung_[e]) && (d <= hung_[e] || used || failing[e]));
			assert(!draining[e] || takenLocked(e) == open[e]);
			e++
		:: else -> break
		od;
		d = 0; x = 0; e = 0;
		do
		:: x < CALLERS ->
			if
			:: queued[x] -> d++
			:: else
			fi;
			if
			:: settled[x] && simple(x) -> assert(queued[x]); e++
			:: else
			fi;
			x++
		:: else -> break
		od;
		assert(length_ == d && settledAny == e && (d == 0 || awaited > 0))
	}
}

init {
	byte n;
	atomic {
		n = 0;
		do
		:: n < NSLOTS ->
			if
			:: n % POSITIONS < OPEN -> conns[n] = opened; open[endpoint_(n)]++; word[endpoint_(n)] = word[endpoint_(n)] | bit_(n)
			:: else
			fi;
			n++
		:: else -> break
		od;
		holds_ = HOLDS; discards_ = DISCARDS; faults_ = FAULTS; refusals_ = REFUSALS; hangs_ = HANGS;
		/* What may end a wait at any time must also be able not to, or it would hide a lost wake-up. */
		if
		:: cancels_ = CANCELS
		:: CANCELS > 0 && spared_(1) -> cancels_ = 0
		fi;
		if
		:: ticks_ = TICKS
		:: TICKS > 0 && spared_(1) -> ticks_ = 0
		fi;
		n = 0;
		do
		:: n < CALLERS -> run get(n); n++
		:: else -> break
		od;
		n = 0;
		do
		:: n < TASKS -> run task_(); n++
		:: else -> break
		od;
#if REFUSALS && !defined(LASTING)
		n = 0;
		do
		:: n < ENDPOINTS -> run backOffOver(n); n++
		:: else -> break
		od;
#endif
#if defined(LEAVE) || defined(CLOSE) || defined(RESET)
		run change_();
#endif
		run rest_()
	}
}
