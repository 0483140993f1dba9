{{/* How many of several pods may be away by will: (list $ options component name). */}}
{{- define "tovar.disruption" -}}
{{- $root := index . 0 -}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "tovar.metadata" (list $root (index . 2) (index . 3)) | nindent 2 }}
spec:
  maxUnavailable: {{ (index . 1).pdb.maxUnavailable }}
  # A pod that is not ready protects no request by staying.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "tovar.selector" (list $root (index . 2)) | nindent 6 }}
{{- end }}

{{/* How many pods, and how many of them may be away: (list $ options component). */}}
{{- define "tovar.scaling" -}}
{{- $root := index . 0 -}}{{- $o := index . 1 -}}{{- $component := index . 2 -}}
{{- $name := include "tovar.name" $root -}}
{{- $pods := ternary $o.autoscaling.max $o.replicas (ne $o.autoscaling.by "") -}}
{{- if gt (int $pods) 1 }}
{{ include "tovar.disruption" (list $root $o $component $name) }}
{{- end }}
{{- if eq $o.autoscaling.by "hpa" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{- include "tovar.metadata" (list $root $component $name) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ $o.autoscaling.min }}
  maxReplicas: {{ $o.autoscaling.max }}
  metrics:
    - type: ContainerResource
      containerResource: {name: cpu, container: {{ $component }}, target: {type: Utilization, averageUtilization: {{ $o.autoscaling.cpu }}}}
{{- else if eq $o.autoscaling.by "keda" }}
{{- if not $o.consumes }}
{{- fail (printf "%s consumes nothing: scale it by hpa" $root.Chart.Name) }}
{{- end }}
{{- $kafka := include "tovar.kafkaAs" (list $root $root.Chart.Name) | fromYaml }}
{{- $secured := ne $kafka.security "plaintext" }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{- include "tovar.metadata" (list $root $component $name) | nindent 2 }}
spec:
  scaleTargetRef: {name: {{ $name }}}
  minReplicaCount: {{ $o.autoscaling.min }}
  maxReplicaCount: {{ $o.autoscaling.max }}
  triggers:
    # Without a topic: all that the group reads.
    - type: kafka
      metadata:
        bootstrapServers: {{ $kafka.brokers | quote }}
        consumerGroup: {{ $kafka.prefix }}{{ $root.Chart.Name }}
        lagThreshold: {{ include "tovar.text" $o.autoscaling.lag | quote }}
        offsetResetPolicy: earliest
        {{- if has $kafka.security (list "ssl" "sasl-ssl") }}
        tls: enable
        {{- end }}
        {{- if hasPrefix "sasl" $kafka.security }}
        sasl: {{ ternary "plaintext" ($kafka.sasl.mechanism | lower | replace "-" "_" | replace "sha_" "sha") (eq $kafka.sasl.mechanism "PLAIN") }}
        {{- with $kafka.sasl.username }}
        username: {{ . | quote }}
        {{- end }}
        {{- end }}
      {{- if $secured }}
      authenticationRef: {name: {{ $name }}}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{- include "tovar.metadata" (list $root $component $name) | nindent 2 }}
spec:
  secretTargetRef:
    {{- if $kafka.ca.secret }}
    - {parameter: ca, name: {{ $kafka.ca.secret }}, key: {{ $kafka.ca.key }}}
    {{- end }}
    {{- if and (hasPrefix "sasl" $kafka.security) (not $kafka.sasl.username) }}
    - {parameter: username, name: {{ $kafka.sasl.secret }}, key: {{ $kafka.sasl.usernameKey }}}
    {{- end }}
    {{- if hasPrefix "sasl" $kafka.security }}
    - {parameter: password, name: {{ $kafka.sasl.secret }}, key: {{ $kafka.sasl.passwordKey }}}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
