/* SPDX-License-Identifier: Apache-2.0
 *
 * The strong commit and its recovery, as README.md beside this file states it, with three regions: each is participant, acceptor,
 * possible coordinator and possible recoverer. `check` compiles and runs the configurations and the broken builds.
 *
 * The network is a set of messages that only grows: whatever was sent can be delivered at any later time, any number of times, in
 * any order, or never. That is loss, repetition, delay and reordering in one. Where a message says no more than what its sender has
 * made durable and never changes again, the durable word itself stands for the message: VOTE is `told`, DECISION is `decision`.
 * A region that lost its disk does nothing more; its words stay, as the messages that it sent before.
 *
 * Every step is one d_step: what it makes durable is durable before what it sends is seen. The adversary picks the next step.
 *
 * Transaction 0 is the older one (lower HLC). Both write the same single key. A version is thus one of: the first, T0's, T1's,
 * and a commit need only say whether it replaced the first version (COMMIT_FIRST) or the other transaction's (COMMIT_OTHER).
 *
 * Progress: calm(set) may happen in every state, for every majority of regions that still have their disks: the others stay silent,
 * no message is lost any more, and the regions of the set recover in turn, a few rounds. Then everything must be decided.
 *
 * Switches (-D): TXNS, BALLOTS_0, BALLOTS_1, COORDINATOR_1, KIND_0, KIND_1, ALL, RESTARTS, LOSSES, and one BREAK_... at a time. */

#define REGIONS 3
#define QUORUM	2
#ifndef TXNS
#define TXNS 2
#endif
/* Recoveries of each transaction; any region may own any of them, several at once. */
#ifndef BALLOTS_0
#define BALLOTS_0 1
#endif
#ifndef BALLOTS_1
#define BALLOTS_1 1
#endif
#if TXNS == 1 || BALLOTS_0 > BALLOTS_1
#define BALLOTS BALLOTS_0
#else
#define BALLOTS BALLOTS_1
#endif
#define BALLOTS_OF(t) ((t) == 0 -> BALLOTS_0 : BALLOTS_1)
#ifndef COORDINATOR_1
#define COORDINATOR_1 1 /* 0: both transactions come from one region */
#endif
#define BLIND 0
#define CAS   1 /* expects the first version */
#define CHAIN 2 /* expects T0's version: T1 only */
#ifndef KIND_0
#define KIND_0 BLIND
#endif
#ifndef KIND_1
#define KIND_1 BLIND
#endif
#ifndef RESTARTS
#define RESTARTS 0 /* crashes that keep the disk */
#endif
#ifndef LOSSES
#define LOSSES 0 /* crashes that lose it: gone, or back empty and refused */
#endif
#ifdef ALL
#define YES_NEEDED (REGIONS - 1)
#else
#define YES_NEEDED (QUORUM - 1)
#endif

#define NONE	     0
#define ABORT	     1
#define COMMIT_FIRST 2
#define COMMIT_OTHER 3
#define COMMITS(value) ((value) >= COMMIT_FIRST)
#define OK	1
#define REFUSED 2

/* What one region knows of one transaction. All durable. */
typedef Slot {
	unsigned vote : 2;	      /* NONE, or YES with the version that it would replace */
	unsigned told : 2;	      /* the VOTE message */
	unsigned promise : 5;	      /* highest ballot promised */
	unsigned accepted : 2;
	unsigned accepted_ballot : 5; /* 0: the coordinator's own ABORT */
	unsigned decision : 2;	      /* and the DECISION message */
};
typedef Txn {
	bit sent;		      /* PREPARE */
	unsigned base : 2;	      /* in it: the version that the coordinator holds */
	bit running;		      /* volatile: the coordinator's lock and its count of votes */
	bit abort_sent;		      /* ABORT */
	unsigned abort_acks : 3;
	unsigned answer : 2;	      /* to the client */
};
typedef Ballot {
	unsigned owner : 2;
	bit asked;		      /* RECOVER; the owner has promised */
	bit waiting;		      /* volatile: the owner still waits */
	unsigned value : 2;	      /* ACCEPT */
	unsigned accepts : 3;	      /* ACCEPTED */
	/* The one PROMISED that the owner will use besides its own state, as it was when it was sent. */
	bit reply;
	bit reply_coordinator;
	bit reply_proof;
	unsigned reply_vote : 2;
	unsigned reply_accepted : 2;
	unsigned reply_accepted_ballot : 5;
	unsigned reply_top : 2;
};

Slot slot[REGIONS * TXNS];
Txn txn[TXNS];
Ballot ballot[TXNS * BALLOTS];
unsigned lost : 3;
unsigned restarts : 2;
unsigned losses : 1;

/* Of one step; not part of the state. */
hidden byte c_round, c_t, c_q, c_ballot, c_value, c_votes, c_top, c_high, c_accepts, c_accepted;
hidden byte c_proof, c_abort, c_coordinator, c_knows;

#define S(r, t) slot[(r) * TXNS + (t)]
#define B(t, b) ballot[(t) * BALLOTS + (b) - 1]
#define COORDINATOR(t) ((t) == 0 -> 0 : COORDINATOR_1)
#define BIT(r) (1 << (r))
#define HAS(set, r) (((set) >> (r)) & 1)
#define COUNT(set) (HAS(set, 0) + HAS(set, 1) + HAS(set, 2))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define ALIVE(r) (!HAS(lost, r))
#define DECIDED(t) (S(0, t).decision | S(1, t).decision | S(2, t).decision) /* all are equal, or none: asserted */

/* The rules on conflicts. u is the other transaction. */
#if TXNS == 2
#define OTHER(t) (1 - (t))
#define TOP(r, t) ((t) == 1 && COMMITS(S(r, 0).decision) -> COMMIT_OTHER : COMMIT_FIRST)
/* HLC above the row's, and the condition. T0's row is older than T1's; a region that misses T0 abstains from a CHAIN. */
#define CONDITION_HOLDS(r, t) ((t) == 0 -> !COMMITS(S(r, 1).decision) : \
	(KIND_1 == BLIND || (KIND_1 == CAS && !COMMITS(S(r, 0).decision)) || (KIND_1 == CHAIN && COMMITS(S(r, 0).decision))))
/* Proof that t can never commit: its condition is broken by a commit, or a newer commit replaced one that is older than t. */
#define PROOF(r, t) ((t) == 0 -> S(r, 1).decision == COMMIT_FIRST : (KIND_1 == CAS && COMMITS(S(r, 0).decision)))
#define RUNS(r, u) (COORDINATOR(u) == (r) && txn[u].running)
#ifdef BREAK_ACCEPT_FREES
#define HOLDS(r, u) (S(r, u).decision == NONE && (S(r, u).vote != NONE || RUNS(r, u)))
#else
#define HOLDS(r, u) (S(r, u).decision == NONE && (S(r, u).vote != NONE || COMMITS(S(r, u).accepted) || RUNS(r, u)))
#endif
#ifdef BREAK_WOUND_EARLY
#define WOUNDED(r, u) (COORDINATOR(u) == (r) && S(r, u).accepted == ABORT && S(r, u).accepted_ballot == 0)
#else
#define WOUNDED(r, u) 0
#endif
#define HOLDS_FOR_VOTE(r, u) (HOLDS(r, u) && !WOUNDED(r, u))
/* A younger one of the same coordinator does not stand in the way, nor one that names t's version as the one it replaces:
 * t is committed then. */
#ifdef BREAK_REPLACER_BLOCKS
#define REPLACED(r, t) 0
#else
#define REPLACED(r, t) ((t) == 0 && (S(r, 1).vote == COMMIT_OTHER || S(r, 1).accepted == COMMIT_OTHER))
#endif
#define HOLDS_FOR_ACCEPT(r, t) (HOLDS(r, OTHER(t)) && !((t) == 0 && COORDINATOR(0) == COORDINATOR(1)) && !REPLACED(r, t))
#else
#define TOP(r, t) COMMIT_FIRST
#define CONDITION_HOLDS(r, t) 1
#define PROOF(r, t) 0
#define HOLDS_FOR_VOTE(r, u) 0
#define HOLDS_FOR_ACCEPT(r, t) 0
#endif

/* A region that restarted has forgotten what it coordinated; until that is decided it takes no part in anything else. */
#define FORGOTTEN(r, t) (COORDINATOR(t) == (r) && txn[t].sent && !txn[t].running && S(r, t).decision == NONE)
#if TXNS == 2 && !defined(BREAK_RESTART)
#define TAKES_PART(r, t) (!FORGOTTEN(r, OTHER(t)) || REPLACED(r, t))
#else
#define TAKES_PART(r, t) 1
#endif

/* ---- what can no longer matter is cleared, so that states fall together ---- */

inline forget_reply(t, b)
{
	B(t, b).reply = 0;
	B(t, b).reply_coordinator = 0;
	B(t, b).reply_proof = 0;
	B(t, b).reply_vote = 0;
	B(t, b).reply_accepted = 0;
	B(t, b).reply_accepted_ballot = 0;
	B(t, b).reply_top = 0
}

inline stop_recovery(r, t, b)
{
	if
	:: B(t, b).waiting && B(t, b).owner == (r) ->
		B(t, b).waiting = 0;
		B(t, b).owner = 0;
		B(t, b).accepts = 0;
		forget_reply(t, b)
	:: else
	fi
}

inline stop_recoveries(r, t)
{
	stop_recovery(r, t, 1)
#if BALLOTS >= 2
	; stop_recovery(r, t, 2)
#endif
#if BALLOTS >= 3
	; stop_recovery(r, t, 3)
#endif
}

/* The coordinator can no longer commit by votes. */
inline forget_votes(t)
{
#ifndef ALL
	S(0, t).told = NONE;
	S(1, t).told = NONE;
	S(2, t).told = NONE
#else
	skip
#endif
}

/* ---- safety ---- */

inline decide(r, t, outcome)
{
	assert(DECIDED(t) == NONE || DECIDED(t) == (outcome)); /* one outcome, and one version, everywhere and for ever */
	S(r, t).decision = outcome;
	S(r, t).vote = NONE;
	S(r, t).promise = 0;
	S(r, t).accepted = NONE;
	S(r, t).accepted_ballot = 0;
	stop_recoveries(r, t);
	if
	:: (r) == COORDINATOR(t) ->
		txn[t].running = 0;
		txn[t].abort_acks = 0;
		forget_votes(t);
		if
		:: txn[t].answer == NONE -> txn[t].answer = (COMMITS(S(r, t).decision) -> OK : REFUSED)
		:: else
		fi
	:: else
	fi;
	assert(txn[t].answer != OK || COMMITS(S(r, t).decision));
	assert(txn[t].answer != REFUSED || !COMMITS(S(r, t).decision));
#ifdef ALL
	assert(!COMMITS(S(r, t).decision) || (S(1, t).told && S(2, t).told)); /* ack all: T0, of region 0, with everybody's YES */
#endif
#if TXNS == 2
	/* T1 replaced the first version: then T0 must never be. It covers conditions, proofs and the order of real time. */
	assert(!(COMMITS(DECIDED(0)) && DECIDED(1) == COMMIT_FIRST));
	assert(!(KIND_1 == CHAIN && COMMITS(DECIDED(1)) && !COMMITS(DECIDED(0))));
#endif
}

/* ---- commit ---- */

/* A transaction's HLC is above the rows that its coordinator holds: T0 cannot start where T1 is committed, nor behind T1. */
inline start(t)
{
	d_step {
		!txn[t].sent && ALIVE(COORDINATOR(t)) && TAKES_PART(COORDINATOR(t), t) &&
#if TXNS == 2
			!((t) == 0 && COORDINATOR_1 == 0 && txn[1].sent) &&
#endif
			CONDITION_HOLDS(COORDINATOR(t), t) && !HOLDS_FOR_VOTE(COORDINATOR(t), OTHER(t)) ->
		printf("T%d starts at region %d\n", t, COORDINATOR(t));
		txn[t].sent = 1;
#ifndef BREAK_NO_BASE
		txn[t].base = TOP(COORDINATOR(t), t);
#endif
		txn[t].running = 1
	}
}

#ifdef ALL /* kept to the end for the assertion on everybody's YES */
#define CAN_COMMIT(t) 1
#elif defined(BREAK_COMMIT_AFTER_PROMISE)
#define CAN_COMMIT(t) txn[t].running
#else
#define CAN_COMMIT(t) (txn[t].running && S(COORDINATOR(t), t).promise == 0 && S(COORDINATOR(t), t).accepted == NONE)
#endif
#ifdef BREAK_VOTE_UNLOCKED
#define VOTE_HOLDS(r, t) 0
#else
#define VOTE_HOLDS(r, t) HOLDS_FOR_VOTE(r, OTHER(t))
#endif
#ifdef BREAK_VOTE_UNCONDITIONAL
#define VOTE_CONDITION(r, t) 1
#else
#define VOTE_CONDITION(r, t) CONDITION_HOLDS(r, t)
#endif
inline give_vote(r, t)
{
	d_step {
		txn[t].sent && (r) != COORDINATOR(t) && ALIVE(r) && S(r, t).vote == NONE && S(r, t).decision == NONE &&
#ifndef BREAK_VOTE_AFTER_PROMISE
			S(r, t).promise == 0 &&
#endif
			S(r, t).accepted == NONE && VOTE_CONDITION(r, t) && !VOTE_HOLDS(r, t) && TAKES_PART(r, t) ->
		printf("region %d votes YES on T%d\n", r, t);
		S(r, t).vote = MAX(TOP(r, t), txn[t].base);
		S(r, t).told = (CAN_COMMIT(t) -> S(r, t).vote : NONE)
	}
}

/* `told` of one region, or of both: the coordinator counts what has arrived. */
#ifdef BREAK_DUPLICATE_VOTES
#define ENOUGH(set) (set != 0)
#else
#define ENOUGH(set) (COUNT(set) >= YES_NEEDED)
#endif
#define TOLD(r, t, set) (!HAS(set, r) || S(r, t).told)
#define VERSION_TOLD(r, t, set) (HAS(set, r) -> S(r, t).told : NONE)

#define MAY_COMMIT(t, set) (txn[t].running && ALIVE(COORDINATOR(t)) && ENOUGH(set) && !HAS(set, COORDINATOR(t)) && \
	TOLD(0, t, set) && TOLD(1, t, set) && TOLD(2, t, set))

/* The coordinator votes last: its COMMIT record is its vote and the decision. */
inline commit(t, set)
{
	d_step {
		MAY_COMMIT(t, set) && S(COORDINATOR(t), t).decision == NONE &&
#ifndef BREAK_COMMIT_AFTER_PROMISE
			S(COORDINATOR(t), t).promise == 0 &&
#endif
			S(COORDINATOR(t), t).accepted == NONE ->
		printf("region %d logs COMMIT of T%d with the votes of %d\n", COORDINATOR(t), t, set);
		c_value = MAX(VERSION_TOLD(0, t, set), MAX(VERSION_TOLD(1, t, set), VERSION_TOLD(2, t, set)));
		c_value = MAX(c_value, TOP(COORDINATOR(t), t));
		decide(COORDINATOR(t), t, c_value)
	}
}

#ifdef BREAK_ANSWER_BEFORE_COMMIT
inline answer_early(t, set)
{
	d_step {
		MAY_COMMIT(t, set) && txn[t].answer == NONE && S(COORDINATOR(t), t).decision == NONE &&
			S(COORDINATOR(t), t).accepted == NONE && S(COORDINATOR(t), t).promise == 0 ->
		txn[t].answer = OK
	}
}
#endif

/* A deadline, a wound, a NO under `all`: any reason will do. */
#define MAY_WITHDRAW(c, t) (S(c, t).decision == NONE && S(c, t).promise == 0 && S(c, t).accepted == NONE)
inline log_abort(c, t)
{
	S(c, t).accepted = ABORT;
	S(c, t).accepted_ballot = 0;
	txn[t].abort_sent = 1;
	txn[t].abort_acks = txn[t].abort_acks | BIT(c);
	forget_votes(t)
}
inline withdraw(t)
{
	d_step {
		txn[t].running && ALIVE(COORDINATOR(t)) && MAY_WITHDRAW(COORDINATOR(t), t) ->
		printf("region %d withdraws T%d\n", COORDINATOR(t), t);
		log_abort(COORDINATOR(t), t)
#ifdef BREAK_REFUSE_EARLY
		; txn[t].answer = REFUSED
#endif
	}
}

inline receive_abort(r, t)
{
	d_step {
		txn[t].abort_sent && (r) != COORDINATOR(t) && ALIVE(r) && S(r, t).decision == NONE &&
#ifndef BREAK_ABORT_AFTER_PROMISE
			S(r, t).promise == 0 &&
#endif
			S(r, t).accepted == NONE ->
		printf("region %d logs the ABORT of T%d\n", r, t);
		S(r, t).accepted = ABORT;
		txn[t].abort_acks = (S(COORDINATOR(t), t).decision == NONE -> txn[t].abort_acks | BIT(r) : 0)
	}
}

inline conclude_abort(t)
{
	d_step {
		COUNT(txn[t].abort_acks) >= QUORUM && ALIVE(COORDINATOR(t)) && S(COORDINATOR(t), t).decision == NONE ->
		printf("region %d: ABORT of T%d is on a majority\n", COORDINATOR(t), t);
		decide(COORDINATOR(t), t, ABORT)
	}
}

inline learn(r, t)
{
	d_step {
		ALIVE(r) && S(r, t).decision == NONE && DECIDED(t) != NONE ->
		printf("region %d learns of T%d: %d\n", r, t, DECIDED(t));
		c_value = DECIDED(t);
		decide(r, t, c_value)
	}
}

/* ---- recovery ---- */

inline give_up(r, t, b, promised)
{
	if
	:: b < promised && B(t, b).value == NONE -> stop_recovery(r, t, b)
	:: else
	fi
}

inline raise_promise(r, t, b)
{
	S(r, t).promise = b;
#if BALLOTS >= 2
	give_up(r, t, 1, b);
#endif
#if BALLOTS >= 3
	give_up(r, t, 2, b);
#endif
	if
	:: (r) == COORDINATOR(t) && !CAN_COMMIT(t) -> forget_votes(t)
	:: else
	fi
}

inline recover(r, t, b)
{
	d_step {
		b <= BALLOTS_OF(t) && txn[t].sent && ALIVE(r) && !B(t, b).asked && S(r, t).decision == NONE && S(r, t).promise < b ->
		printf("region %d recovers T%d, ballot %d\n", r, t, b);
		raise_promise(r, t, b);
		B(t, b).owner = r;
		B(t, b).asked = 1;
		B(t, b).waiting = 1
	}
}

#define MAY_PROMISE(r, t, b) (B(t, b).asked && ALIVE(r) && S(r, t).decision == NONE && S(r, t).promise < b)

inline give_promise_unheard(r, t, b)
{
	d_step {
		MAY_PROMISE(r, t, b) ->
		printf("region %d promises T%d, ballot %d, unheard\n", r, t, b);
		S(r, t).promise = b
	}
}

/* With three regions the owner and one other are the majority. Which reply it will use is guessed when that is sent. */
inline give_promise(r, t, b)
{
	d_step {
		MAY_PROMISE(r, t, b) && B(t, b).waiting && !B(t, b).reply && B(t, b).value == NONE ->
		printf("region %d promises T%d, ballot %d\n", r, t, b);
		raise_promise(r, t, b);
		B(t, b).reply = 1;
		B(t, b).reply_coordinator = ((r) == COORDINATOR(t));
		B(t, b).reply_proof = PROOF(r, t);
		B(t, b).reply_vote = S(r, t).vote;
		B(t, b).reply_accepted = S(r, t).accepted;
		B(t, b).reply_accepted_ballot = S(r, t).accepted_ballot;
		B(t, b).reply_top = TOP(r, t)
	}
}

#ifdef BREAK_PROOF_IGNORED
#define CHOICE_PROOF(proof) 0
#else
#define CHOICE_PROOF(proof) (proof)
#endif
#ifdef BREAK_ACCEPTED_IGNORED
#define CHOICE_ACCEPTED(ballot) 0
#else
#define CHOICE_ACCEPTED(ballot) ((ballot) > 0)
#endif
#ifdef BREAK_SILENCE_ABORTS
#define CHOICE_COMMITTED(votes) 0
#else
/* No region is unseen but the coordinator, which does not count: three regions. */
#ifdef BREAK_ALL_COUNTS_QUORUM
#define CHOICE_COMMITTED(votes) ((votes) >= QUORUM - 1)
#else
#define CHOICE_COMMITTED(votes) ((votes) >= YES_NEEDED)
#endif
#endif
#define CHOICE(proof, ballot, accepted, aborted, coordinator, votes, top) \
	(CHOICE_PROOF(proof) -> ABORT : (CHOICE_ACCEPTED(ballot) -> (accepted) : \
	((aborted) || (coordinator) -> ABORT : (CHOICE_COMMITTED(votes) -> (top) : ABORT))))

inline choose(r, t, b)
{
	d_step {
		B(t, b).asked && B(t, b).owner == (r) && B(t, b).reply && B(t, b).waiting && S(r, t).decision == NONE && S(r, t).promise == b ->
		B(t, b).value = CHOICE(B(t, b).reply_proof || PROOF(r, t),
			MAX(B(t, b).reply_accepted_ballot, S(r, t).accepted_ballot),
			(B(t, b).reply_accepted_ballot >= S(r, t).accepted_ballot -> B(t, b).reply_accepted : S(r, t).accepted),
			B(t, b).reply_accepted == ABORT || S(r, t).accepted == ABORT,
			B(t, b).reply_coordinator || (r) == COORDINATOR(t),
			(B(t, b).reply_vote != NONE) + (S(r, t).vote != NONE),
			MAX(MAX(B(t, b).reply_top, B(t, b).reply_vote), MAX(TOP(r, t), S(r, t).vote)));
		printf("region %d chooses %d for T%d, ballot %d\n", r, B(t, b).value, t, b);
		forget_reply(t, b)
	}
}

#ifdef BREAK_ACCEPT_UNPROVEN
#define ACCEPT_PROOF(r, t) 0
#else
#define ACCEPT_PROOF(r, t) PROOF(r, t)
#endif
#ifdef BREAK_ACCEPT_UNLOCKED
#define ACCEPT_HOLDS(r, t) 0
#else
#define ACCEPT_HOLDS(r, t) HOLDS_FOR_ACCEPT(r, t)
#endif
#define MAY_ACCEPT(r, t, value) (!COMMITS(value) || (TAKES_PART(r, t) && !ACCEPT_PROOF(r, t) && !ACCEPT_HOLDS(r, t)))

inline accept(r, t, b)
{
	d_step {
		B(t, b).value != NONE && ALIVE(r) && S(r, t).decision == NONE && S(r, t).accepted_ballot != b &&
#ifndef BREAK_ACCEPT_OLD
			S(r, t).promise <= b &&
#endif
			MAY_ACCEPT(r, t, B(t, b).value) ->
		printf("region %d accepts %d for T%d, ballot %d\n", r, B(t, b).value, t, b);
		S(r, t).accepted = B(t, b).value;
		S(r, t).accepted_ballot = b;
		raise_promise(r, t, b);
		B(t, b).accepts = (B(t, b).waiting -> B(t, b).accepts | BIT(r) : 0)
	}
}

inline conclude(r, t, b)
{
	d_step {
		B(t, b).waiting && B(t, b).owner == (r) && B(t, b).value != NONE && S(r, t).decision == NONE &&
#ifdef BREAK_DUPLICATE_ACCEPTS
			B(t, b).accepts != 0 ->
#else
			COUNT(B(t, b).accepts) >= QUORUM ->
#endif
		printf("region %d decides T%d: %d, ballot %d\n", r, t, B(t, b).value, b);
		decide(r, t, B(t, b).value)
	}
}

#ifdef BREAK_TIMEOUT_ABORTS
inline time_out(r, t)
{
	d_step {
		ALIVE(r) && S(r, t).vote != NONE && S(r, t).decision == NONE ->
		decide(r, t, ABORT)
	}
}
#endif

/* ---- crashes ---- */

inline stop(r, t)
{
	if
	:: COORDINATOR(t) == (r) ->
		txn[t].running = 0;
		forget_votes(t)
	:: else
	fi;
	stop_recoveries(r, t)
}

/* Back with its disk, under a new epoch: which withdraws all that it had not committed. */
inline restart_transaction(r, t)
{
	stop(r, t);
#ifdef BREAK_VOTE_NOT_DURABLE
	S(r, t).vote = NONE;
#endif
#ifdef BREAK_PROMISE_NOT_DURABLE
	S(r, t).promise = 0;
#endif
#ifndef BREAK_RESTART
	if
	:: FORGOTTEN(r, t) && MAY_WITHDRAW(r, t) -> log_abort(r, t)
	:: else
	fi
#endif
}

inline restart(r)
{
	d_step {
		restarts < RESTARTS && ALIVE(r) ->
		printf("region %d restarts\n", r);
		restarts++;
		restart_transaction(r, 0);
#if TXNS == 2
		restart_transaction(r, 1);
#endif
	}
}

inline lose_transaction(r, t)
{
	stop(r, t);
	S(r, t).vote = NONE;
	S(r, t).promise = 0;
	S(r, t).accepted = NONE;
	S(r, t).accepted_ballot = 0;
#ifdef BREAK_WIPED_RETURNS
	S(r, t).decision = NONE;
#endif
}

/* The disk is gone. What stays (told, decision, acknowledgements) are messages under way. */
inline lose(r)
{
	d_step {
		losses < LOSSES && ALIVE(r) ->
		printf("region %d loses its disk\n", r);
		losses++;
#ifndef BREAK_WIPED_RETURNS
		lost = lost | BIT(r);
#endif
		lose_transaction(r, 0);
#if TXNS == 2
		lose_transaction(r, 1);
#endif
	}
}

/* ---- progress ---- */

#define UNDECIDED(t, set) ((HAS(set, 0) && S(0, t).decision == NONE) || (HAS(set, 1) && S(1, t).decision == NONE) || \
	(HAS(set, 2) && S(2, t).decision == NONE))
/* One recovery of c_t within the set, under a ballot above all others, nothing lost. */
inline calm_recover(set)
{
	c_ballot++;
	c_proof = 0; c_abort = 0; c_coordinator = 0; c_high = 0; c_value = NONE; c_votes = 0; c_top = COMMIT_FIRST; c_accepted = NONE;
	c_accepts = 0;
	c_q = 0;
	do
	:: c_q < REGIONS ->
		if
		:: HAS(set, c_q) ->
			if
			:: S(c_q, c_t).decision != NONE -> c_value = S(c_q, c_t).decision
			:: else
			fi;
			c_proof = c_proof || PROOF(c_q, c_t);
			c_coordinator = c_coordinator || c_q == COORDINATOR(c_t);
			c_abort = c_abort || S(c_q, c_t).accepted == ABORT;
			if
			:: S(c_q, c_t).accepted_ballot > c_high ->
				c_high = S(c_q, c_t).accepted_ballot;
				c_accepted = S(c_q, c_t).accepted
			:: else
			fi;
			c_votes = c_votes + (S(c_q, c_t).vote != NONE);
			c_top = MAX(c_top, MAX(TOP(c_q, c_t), S(c_q, c_t).vote))
		:: else
		fi;
		c_q++
	:: else -> break
	od;
	if
	:: c_value == NONE ->
		c_value = CHOICE(c_proof, c_high, c_accepted, c_abort, c_coordinator, c_votes, c_top);
		c_q = 0;
		do
		:: c_q < REGIONS ->
			if
			:: HAS(set, c_q) && MAY_ACCEPT(c_q, c_t, c_value) ->
				S(c_q, c_t).accepted = c_value;
				S(c_q, c_t).accepted_ballot = c_ballot;
				c_accepts++
			:: else
			fi;
			c_q++
		:: else -> break
		od
	:: else -> c_accepts = QUORUM
	fi;
	if
	:: c_accepts >= QUORUM ->
		c_q = 0;
		do
		:: c_q < REGIONS ->
			if
			:: HAS(set, c_q) && S(c_q, c_t).decision == NONE -> decide(c_q, c_t, c_value)
			:: else
			fi;
			c_q++
		:: else -> break
		od
	:: else
	fi
}

inline forget_all()
{
	c_q = 0;
	do
	:: c_q < REGIONS * TXNS ->
		slot[c_q].vote = 0;
		slot[c_q].told = 0;
		slot[c_q].promise = 0;
		slot[c_q].accepted = 0;
		slot[c_q].accepted_ballot = 0;
		slot[c_q].decision = 0;
		c_q++
	:: else -> break
	od;
	c_q = 0;
	do
	:: c_q < TXNS ->
		txn[c_q].sent = 0;
		txn[c_q].base = 0;
		txn[c_q].running = 0;
		txn[c_q].abort_sent = 0;
		txn[c_q].abort_acks = 0;
		txn[c_q].answer = 0;
		c_q++
	:: else -> break
	od;
	c_t = 0;
	do
	:: c_t < TXNS ->
		c_q = 1;
		do
		:: c_q <= BALLOTS ->
			B(c_t, c_q).owner = 0;
			B(c_t, c_q).asked = 0;
			B(c_t, c_q).waiting = 0;
			B(c_t, c_q).value = 0;
			B(c_t, c_q).accepts = 0;
			forget_reply(c_t, c_q);
			c_q++
		:: else -> break
		od;
		c_t++
	:: else -> break
	od;
	lost = 0;
	restarts = 0;
	losses = 0
}

/* Ends in one and the same state, whatever it began with. */
inline calm(set)
{
	d_step {
		(lost & (set)) == 0 ->
		printf("calm among %d\n", set);
		/* A strong read of this majority meets what was answered ok: as committed, or as something to settle first. */
		c_t = 0;
		do
		:: c_t < TXNS ->
			c_knows = 0;
			c_q = 0;
			do
			:: c_q < REGIONS ->
				c_knows = c_knows || (HAS(set, c_q) && (COMMITS(S(c_q, c_t).decision) || (S(c_q, c_t).decision == NONE &&
					(S(c_q, c_t).vote != NONE || COMMITS(S(c_q, c_t).accepted)))));
				c_q++
			:: else -> break
			od;
			assert(txn[c_t].answer != OK || c_knows);
			c_t++
		:: else -> break
		od;
		c_ballot = BALLOTS;
		c_round = 0;
		do
		:: c_round < 3 ->
			c_t = 0;
			do
			:: c_t < TXNS ->
				if
				:: txn[c_t].sent && UNDECIDED(c_t, set) -> calm_recover(set)
				:: else
				fi;
				c_t++
			:: else -> break
			od;
			c_round++
		:: else -> break
		od;
		c_t = 0;
		do
		:: c_t < TXNS ->
			assert(!txn[c_t].sent || !UNDECIDED(c_t, set)); /* stuck */
			c_t++
		:: else -> break
		od;
		forget_all()
	}
}

/* ---- the adversary ---- */

/* `:: step` for each region, transaction, ballot; cpp has no loops. */
#if BALLOTS == 0
#define EACH_BALLOT(step, r, t)
#elif BALLOTS == 1
#define EACH_BALLOT(step, r, t) :: step(r, t, 1)
#elif BALLOTS == 2
#define EACH_BALLOT(step, r, t) :: step(r, t, 1) :: step(r, t, 2)
#else
#define EACH_BALLOT(step, r, t) :: step(r, t, 1) :: step(r, t, 2) :: step(r, t, 3)
#endif
#define EACH_REGION_BALLOT(step, t) EACH_BALLOT(step, 0, t) EACH_BALLOT(step, 1, t) EACH_BALLOT(step, 2, t)
#define EACH_REGION(step, t) :: step(0, t) :: step(1, t) :: step(2, t)
#define EACH_SET(step, t) :: step(t, 1) :: step(t, 2) :: step(t, 4) :: step(t, 3) :: step(t, 5) :: step(t, 6)

#ifdef BREAK_ANSWER_BEFORE_COMMIT
#define BROKEN_STEPS(t) EACH_SET(answer_early, t)
#elif defined(BREAK_TIMEOUT_ABORTS)
#define BROKEN_STEPS(t) EACH_REGION(time_out, t)
#else
#define BROKEN_STEPS(t)
#endif

#define STEPS(t) \
	:: start(t) \
	EACH_REGION(give_vote, t) \
	EACH_SET(commit, t) \
	:: withdraw(t) \
	EACH_REGION(receive_abort, t) \
	:: conclude_abort(t) \
	EACH_REGION(learn, t) \
	EACH_REGION_BALLOT(recover, t) \
	EACH_REGION_BALLOT(give_promise_unheard, t) \
	EACH_REGION_BALLOT(give_promise, t) \
	EACH_REGION_BALLOT(choose, t) \
	EACH_REGION_BALLOT(accept, t) \
	EACH_REGION_BALLOT(conclude, t) \
	BROKEN_STEPS(t)

init {
	do
	STEPS(0)
#if TXNS == 2
	STEPS(1)
#endif
#if RESTARTS > 0
	:: restart(0) :: restart(1) :: restart(2)
#endif
#if LOSSES > 0
	:: lose(0) :: lose(1) :: lose(2)
#endif
	:: calm(3) -> break
	:: calm(5) -> break
	:: calm(6) -> break
	od
}
