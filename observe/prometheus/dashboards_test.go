package promobserver_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	promobserver "github.com/minicaptain/multi_connection_pool/observe/prometheus"
)

const dashboards = "../dashboards"

// exposed is the names of all series that a scrape may have.
func exposed(t *testing.T) (names []string) {
	t.Helper()
	r, _ := registry(t, map[string]promobserver.Pool{"users": busy(t)})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names = append(names, f.GetName())
		for _, m := range f.GetMetric()[:1] {
			if m.GetHistogram() != nil || m.GetSummary() != nil {
				names = append(names, f.GetName()+"_count", f.GetName()+"_sum")
			}
			if m.GetHistogram() != nil {
				names = append(names, f.GetName()+"_bucket")
			}
		}
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dashboards, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryMetricOfDashboardsAndRulesExists(t *testing.T) {
	names := exposed(t)
	used := map[string]bool{}
	for _, file := range []string{"multipool.json", "alerts.yml", "alerts_test.yml"} {
		for _, name := range regexp.MustCompile(`multipool_\w+`).FindAllString(read(t, file), -1) {
			used[name] = true
			if !slices.Contains(names, name) {
				t.Errorf("%s names %s, which no scrape has", file, name)
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("the test has found %d names", len(used))
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(doc), name) && !regexp.MustCompile(`_(count|sum|bucket)$`).MatchString(name) {
			t.Errorf("doc.go has no %s", name)
		}
	}
}

func TestDashboardIsOneAndItsExpressionsAreValid(t *testing.T) {
	var d struct {
		Title  string
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ Expr, LegendFormat string }
			Datasource  struct{ UID string }
			Description string
			FieldConfig struct{ Defaults struct{ Unit string } }
		}
		Templating struct{ List []struct{ Name, Type string } }
	}
	if err := json.Unmarshal([]byte(read(t, "multipool.json")), &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	var rules strings.Builder
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	for _, p := range d.Panels {
		if ids[p.ID] || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || p.Title == "" {
			t.Errorf("panel %d %q is at %+v", p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has %d targets, the unit %q and the source %q", p.Title, len(p.Targets), p.FieldConfig.Defaults.Unit, p.Datasource.UID)
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$pool", "users").Replace(target.Expr)
			text, err := json.Marshal(expr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&rules, "{record: a:b%d, expr: %s},\n", rules.Len(), text)
		}
	}
	rules.WriteString("]}]\n")
	if len(ids) < 15 || len(d.Templating.List) != 2 {
		t.Errorf("%d panels, variables %v", len(ids), d.Templating.List)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", file)
}

// ejecting returns a pool that has ejected b:1.
func ejecting(t *testing.T) *core.Pool[conn] {
	t.Helper()
	p := newPool(t, static.Watcher("a:1", "b:1"))
	for range 1000 {
		if slices.ContainsFunc(p.Stats().Endpoints, func(e core.EndpointStats) bool { return e.Ejected }) {
			return p
		}
		do(t, p, 1, nil, core.WithEndpoint("a:1"))
		do(t, p, 1, io.EOF, core.WithEndpoint("b:1"))
	}
	t.Fatal("b:1 fails each call and is not ejected")
	return nil
}

// sampled is what a scrape of two pools has, as input series of promtool: gauges stay,
// all else grows by as much each minute.
func sampled(t *testing.T) string {
	t.Helper()
	r, _ := registry(t, map[string]promobserver.Pool{"users": busy(t), "orders": ejecting(t)})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	line := func(name string, labels []*dto.LabelPair, more string, value float64, grows bool) {
		var pairs []string
		for _, l := range labels {
			pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		if more != "" {
			pairs = append(pairs, more)
		}
		values := fmt.Sprintf("%gx20", value)
		if grows {
			values = fmt.Sprintf("%g+%gx20", value, value)
		}
		fmt.Fprintf(&text, "  - {series: '%s{%s}', values: '%s'}\n", name, strings.Join(pairs, ","), values)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch h := m.GetHistogram(); {
			case h != nil:
				for _, b := range h.GetBucket() {
					line(f.GetName()+"_bucket", m.GetLabel(), fmt.Sprintf(`le="%g"`, b.GetUpperBound()), float64(b.GetCumulativeCount()), true)
				}
				line(f.GetName()+"_bucket", m.GetLabel(), `le="+Inf"`, float64(h.GetSampleCount()), true)
				line(f.GetName()+"_count", m.GetLabel(), "", float64(h.GetSampleCount()), true)
				line(f.GetName()+"_sum", m.GetLabel(), "", h.GetSampleSum(), true)
			case m.GetSummary() != nil:
				line(f.GetName()+"_count", m.GetLabel(), "", float64(m.GetSummary().GetSampleCount()), true)
				line(f.GetName()+"_sum", m.GetLabel(), "", m.GetSummary().GetSampleSum(), true)
			case m.GetCounter() != nil:
				line(f.GetName(), m.GetLabel(), "", m.GetCounter().GetValue(), true)
			default:
				line(f.GetName(), m.GetLabel(), "", m.GetGauge().GetValue(), false)
			}
		}
	}
	return text.String()
}

func TestEveryQueryOfTheDashboardHasAnAnswerInWhatAPoolExposes(t *testing.T) {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "multipool.json")), &d); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var test strings.Builder
	fmt.Fprintf(&test, "evaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n%s  promql_expr_test:\n", sampled(t))
	queries := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$pool", ".*").Replace(target.Expr)
			text, err := json.Marshal("count(" + expr + ") > bool 0")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&test, "  - {eval_time: 15m, expr: %s, exp_samples: [{labels: '{}', value: 1}]}\n", text)
			queries++
		}
	}
	if queries < 20 {
		t.Errorf("the dashboard has %d queries", queries)
	}
	file := filepath.Join(dir, "test.yml")
	if err := os.WriteFile(file, []byte(test.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "test", "rules", file)
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	// Each rule has a case in which it fires.
	test := read(t, "alerts_test.yml")
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, "alerts.yml"), -1) {
		if !strings.Contains(test, "alertname: "+m[1]+"\n        exp_alerts:\n          - exp_labels") {
			t.Errorf("no test lets %s fire", m[1])
		}
	}
	promtool(t, nil, "check", "rules", filepath.Join(dashboards, "alerts.yml"))
	promtool(t, nil, "test", "rules", filepath.Join(dashboards, "alerts_test.yml"))
}

// The tests above would see a wrong expression.
func TestPromtoolSeesAWrongExpression(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		missing(t)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(`groups: [{name: a, rules: [{record: a:b, expr: "sum by (x) (rate(y))"}]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", file).CombinedOutput(); err == nil {
		t.Errorf("promtool says %s", out)
	}
}
