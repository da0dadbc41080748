package otelobserver

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
)

// instruments makes the instruments of a pool, and notes which there are and what
// went wrong.
type instruments struct {
	meter metric.Meter
	all   []metric.Observable
	errs  []error
}

func (i *instruments) level(name, unit, description string) metric.Int64ObservableUpDownCounter {
	c, err := i.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.note(c, err)
	return c
}

func (i *instruments) counter(name, unit, description string) metric.Int64ObservableCounter {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.note(c, err)
	return c
}

func (i *instruments) note(o metric.Observable, err error) {
	i.all, i.errs = append(i.all, o), append(i.errs, err)
}

// observePool makes the state of a pool metrics, when they are read.
func observePool(meter metric.Meter, name string, p Pool, kind Kind) (metric.Registration, error) {
	i := instruments{meter: meter}
	connections := i.level("multipool.connection.count", "{connection}", "The number of connections by state.")
	endpoints := i.level("multipool.endpoint.count", "{endpoint}", "The number of endpoints in the set by state.")
	retries := i.counter("multipool.retries", "{attempt}", "The number of attempts that were not the first of their call.")
	hedges := i.counter("multipool.hedges", "{attempt}", "The number of second calls that were made because the first was late.")
	ejections := i.counter("multipool.ejections", "{ejection}", "The number of times that outlier detection took an endpoint out of service.")
	dials := i.counter("multipool.dials", "{connection}", "The number of attempts to open a connection.")
	var count dbconv.ClientConnectionCountObservable
	var pending dbconv.ClientConnectionPendingRequestsObservable
	var timeouts dbconv.ClientConnectionTimeoutsObservable
	if kind.db {
		var errs [3]error
		count, errs[0] = dbconv.NewClientConnectionCountObservable(meter)
		pending, errs[1] = dbconv.NewClientConnectionPendingRequestsObservable(meter)
		timeouts, errs[2] = dbconv.NewClientConnectionTimeoutsObservable(meter)
		i.note(count.Inst(), errs[0])
		i.note(pending.Inst(), errs[1])
		i.note(timeouts.Inst(), errs[2])
	}
	if err := errors.Join(i.errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		st := p.Stats()
		m := st.Metrics
		if m == nil {
			return nil // it is not measured yet
		}
		of := attribute.String("multipool.pool.name", name)
		is := func(key, value string) metric.ObserveOption {
			return metric.WithAttributes(of, attribute.String(key, value))
		}
		var idle, used, down, ejected int64
		for _, e := range st.Endpoints {
			idle, used = idle+int64(e.Idle), used+int64(e.InUse)
			switch {
			case e.Down:
				down++
			case e.Ejected:
				ejected++
			}
		}
		o.ObserveInt64(connections, idle, is("multipool.connection.state", "idle"))
		o.ObserveInt64(connections, used, is("multipool.connection.state", "used"))
		o.ObserveInt64(endpoints, int64(len(st.Endpoints))-down-ejected, is("multipool.endpoint.state", "available"))
		o.ObserveInt64(endpoints, ejected, is("multipool.endpoint.state", "ejected"))
		o.ObserveInt64(endpoints, down, is("multipool.endpoint.state", "down"))
		c := m.Calls
		o.ObserveInt64(retries, int64(c.Retries), metric.WithAttributes(of))
		o.ObserveInt64(hedges, int64(c.HedgesWon), is("multipool.hedge.result", "won"))
		o.ObserveInt64(hedges, int64(c.HedgesFailed), is("multipool.hedge.result", "failed"))
		o.ObserveInt64(hedges, max(0, int64(c.Hedges)-int64(c.HedgesWon)-int64(c.HedgesFailed)), is("multipool.hedge.result", "lost"))
		o.ObserveInt64(ejections, int64(c.Ejections), metric.WithAttributes(of))
		o.ObserveInt64(dials, int64(m.Dials), is("multipool.dial.result", "ok"))
		o.ObserveInt64(dials, int64(m.DialFailures), is("multipool.dial.result", "failed"))
		if kind.db {
			of := semconv.DBClientConnectionPoolName(name)
			state := func(s dbconv.ClientConnectionStateAttr) metric.ObserveOption {
				return metric.WithAttributes(of, semconv.DBClientConnectionStateKey.String(string(s)))
			}
			o.ObserveInt64(count.Inst(), idle, state(dbconv.ClientConnectionStateIdle))
			o.ObserveInt64(count.Inst(), used, state(dbconv.ClientConnectionStateUsed))
			o.ObserveInt64(pending.Inst(), int64(st.Waiting), metric.WithAttributes(of))
			o.ObserveInt64(timeouts.Inst(), int64(m.Exhausted), metric.WithAttributes(of))
		}
		return nil
	}, i.all...)
}
