package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/oss"
)

// kinds make or change a resource of a type from its properties. The server's
// lock is held.
var kinds = map[string]func(s *Server, t *thing, change bool) *refusal{
	"ALIYUN::MNS::Queue":              makeQueue,
	"ALIYUN::MNS::Topic":              makeTopic,
	"ALIYUN::MNS::Subscription":       makeSubscription,
	"ALIYUN::OSS::Bucket":             makeBucket,
	"ALIYUN::SLS::Project":            makeProject,
	"ALIYUN::SLS::Logstore":           makeLogstore,
	"ALIYUN::SLS::Index":              makeIndex,
	"ALIYUN::SLS::Alert":              makeAlert,
	"ALIYUN::SLS::Dashboard":          noted,
	"ALIYUN::SLS::Savedsearch":        noted,
	"ALIYUN::RAM::Role":               makeRole,
	"ALIYUN::RAM::ManagedPolicy":      makePolicy,
	"ALIYUN::CMS::ResourceMetricRule": makeAlarm,
}

// takeAway removes what a resource stands for.
func (s *Server) takeAway(t *thing) {
	switch t.kind {
	case "ALIYUN::MNS::Queue":
		s.mns.RemoveQueue(t.id)
	case "ALIYUN::MNS::Topic":
		s.mns.RemoveTopic(t.id)
	case "ALIYUN::MNS::Subscription":
		s.mns.Unsubscribe(t.text("TopicName"), t.text("SubscriptionName"))
	case "ALIYUN::OSS::Bucket":
		s.oss.RemoveBucket(t.id)
	case "ALIYUN::SLS::Project":
		delete(s.state.Projects, t.id)
	case "ALIYUN::SLS::Alert":
		if project := s.state.Projects[t.text("Project")]; project != nil {
			delete(project.Alerts, t.id)
		}
	case "ALIYUN::RAM::Role":
		delete(s.state.Roles, t.id)
	case "ALIYUN::RAM::ManagedPolicy":
		for _, role := range s.state.Roles {
			delete(role.Policies, t.id)
		}
	case "ALIYUN::CMS::ResourceMetricRule":
		delete(s.state.Alarms, t.id)
	}
}

func (t *thing) text(name string) string {
	if t.properties[name] == nil {
		return ""
	}
	return fmt.Sprint(t.properties[name])
}

func (t *thing) seconds(name string) time.Duration {
	var n int
	_, _ = fmt.Sscan(t.text(name), &n) // 0 is the service's default
	return time.Duration(n) * time.Second
}

func noted(_ *Server, t *thing, _ bool) *refusal {
	t.id = t.text("DashboardName")
	return nil
}

func makeQueue(s *Server, t *thing, change bool) *refusal {
	t.id = t.text("QueueName")
	if _, there := s.mns.Queue(t.id); there && !change {
		return no(409, "QueueAlreadyExist", "The queue you want to create already exists: "+t.id)
	}
	s.mns.CreateQueue(t.id, mns.QueueAttributes{Retention: t.seconds("MessageRetentionPeriod"), Visibility: t.seconds("VisibilityTimeout")})
	t.attributes = map[string]any{"QueueName": t.id}
	return nil
}

func makeTopic(s *Server, t *thing, change bool) *refusal {
	t.id = t.text("TopicName")
	if _, there := s.mns.Subscriptions(t.id); there && !change {
		return no(409, "TopicAlreadyExist", "The topic you want to create already exists: "+t.id)
	}
	s.mns.CreateTopic(t.id)
	t.attributes = map[string]any{"TopicName": t.id}
	return nil
}

func makeSubscription(s *Server, t *thing, _ bool) *refusal {
	t.id = t.text("SubscriptionName")
	if _, there := s.mns.Subscriptions(t.text("TopicName")); !there {
		return no(404, "TopicNotExist", "The topic you provided does not exist: "+t.text("TopicName"))
	}
	s.mns.Subscribe(t.text("TopicName"), t.id, mns.Subscription{Endpoint: t.text("Endpoint"), FilterTag: t.text("FilterTag"),
		Format: t.text("NotifyContentFormat"), Strategy: t.text("NotifyStrategy")})
	return nil
}

func makeBucket(s *Server, t *thing, change bool) *refusal {
	t.id = t.text("BucketName")
	if s.state.Taken[t.id] {
		return no(409, "BucketAlreadyExists", "The requested bucket name is not available: "+t.id)
	}
	if _, there := s.oss.Bucket(t.id); there && !change {
		return no(409, "BucketAlreadyExists", "The bucket already exists: "+t.id)
	}
	settings, _ := s.oss.Bucket(t.id)
	settings.ACL, settings.Public, settings.Lifecycle = t.text("AccessControl"), t.properties["BlockPublicAccess"] != true, nil
	if lifecycle, ok := t.properties["LifecycleConfiguration"].(map[string]any); ok {
		rules, _ := lifecycle["Rule"].([]any)
		for _, element := range rules {
			rule, _ := element.(map[string]any)
			expiration, _ := rule["Expiration"].(map[string]any)
			r := oss.LifecycleRule{ID: fmt.Sprint(rule["ID"]), Prefix: fmt.Sprint(rule["Prefix"]), Status: fmt.Sprint(rule["Status"])}
			_, _ = fmt.Sscan(fmt.Sprint(expiration["Days"]), &r.Days) // without days it expires nothing
			settings.Lifecycle = append(settings.Lifecycle, r)
		}
	}
	s.oss.SetBucket(t.id, settings)
	t.attributes = map[string]any{"Name": t.id}
	return nil
}

func makeProject(s *Server, t *thing, change bool) *refusal {
	t.id = t.text("Name")
	if (s.state.Projects[t.id] != nil && !change) || s.state.Taken[t.id] {
		return no(400, "ProjectAlreadyExist", "The Project already exists: "+t.id)
	}
	if s.state.Projects[t.id] == nil {
		s.state.Projects[t.id] = &Project{Logstores: map[string]map[string]any{}, Alerts: map[string]bool{}}
	}
	t.attributes = map[string]any{"Name": t.id}
	return nil
}

func makeLogstore(s *Server, t *thing, _ bool) *refusal {
	t.id = t.text("LogstoreName")
	project := s.state.Projects[t.text("ProjectName")]
	if project == nil {
		return no(404, "ProjectNotExist", "The Project does not exist: "+t.text("ProjectName"))
	}
	if _, there := project.Logstores[t.id]; !there {
		project.Logstores[t.id] = nil
	}
	t.attributes = map[string]any{"LogstoreName": t.id}
	return nil
}

func makeIndex(s *Server, t *thing, _ bool) *refusal {
	t.id = t.text("LogstoreName")
	project := s.state.Projects[t.text("ProjectName")]
	if project == nil {
		return no(404, "ProjectNotExist", "The Project does not exist: "+t.text("ProjectName"))
	}
	if _, there := project.Logstores[t.id]; !there {
		return no(404, "LogStoreNotExist", "logstore "+t.id+" does not exist")
	}
	project.Logstores[t.id] = t.properties
	return nil
}

func makeAlert(s *Server, t *thing, _ bool) *refusal {
	project := s.state.Projects[t.text("Project")]
	if project == nil {
		return no(404, "ProjectNotExist", "The Project does not exist: "+t.text("Project"))
	}
	detail, _ := t.properties["Detail"].(map[string]any)
	t.id = fmt.Sprint(detail["Name"])
	project.Alerts[t.id] = detail["State"] == "Enabled"
	return nil
}

func makeRole(s *Server, t *thing, change bool) *refusal {
	t.id = t.text("RoleName")
	old := s.state.Roles[t.id]
	if old != nil && !change && t.properties["IgnoreExisting"] != true {
		return no(409, "EntityAlreadyExists.Role", "The role already exists: "+t.id)
	}
	trust, _ := json.Marshal(t.properties["AssumeRolePolicyDocument"])
	role := &Role{Trust: string(trust), Policies: map[string]string{}}
	if old != nil {
		role.Policies = old.Policies
		if !change {
			role.Trust = old.Trust // an existing role is left as it is
		}
	}
	s.state.Roles[t.id] = role
	t.attributes = map[string]any{"RoleName": t.id, "Arn": "acs:ram::" + s.account + ":role/" + strings.ToLower(t.id)}
	return nil
}

func makePolicy(s *Server, t *thing, _ bool) *refusal {
	t.id = t.text("PolicyName")
	document := t.properties["PolicyDocument"]
	if document == nil {
		document = t.properties["PolicyDocumentUnchecked"]
	}
	text, _ := json.Marshal(document)
	roles, _ := t.properties["Roles"].([]any)
	for _, name := range roles {
		role := s.state.Roles[fmt.Sprint(name)]
		if role == nil {
			return no(404, "EntityNotExist.Role", "The role does not exist: "+fmt.Sprint(name))
		}
		role.Policies[t.id] = string(text)
	}
	t.attributes = map[string]any{"PolicyName": t.id}
	return nil
}

func makeAlarm(s *Server, t *thing, _ bool) *refusal {
	t.id = t.text("RuleName")
	s.state.Alarms[t.id] = true
	return nil
}
