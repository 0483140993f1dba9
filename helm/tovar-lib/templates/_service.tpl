{{/* A whole service: all that its chart makes. */}}
{{- define "tovar.service" -}}
{{- $o := include "tovar.options" . | fromYaml -}}
{{- $name := include "tovar.name" . }}
{{ include "tovar.serviceSecret" (list . $o) }}
{{- if eq .Chart.Name "users" }}
{{ include "tovar.usersTls" . }}
{{- end }}
---
apiVersion: v1
kind: Service
metadata: {{- include "tovar.metadata" (list . "service" $name) | nindent 2 }}
spec:
  selector: {{- include "tovar.selector" (list . "service") | nindent 4 }}
  ports:
    - {name: http, port: 8080, targetPort: http, appProtocol: http}
    {{- if eq .Chart.Name "users" }}
    - {name: https, port: 8443, targetPort: https, appProtocol: https}
    {{- end }}
---
# Each pod's second ports, by pod: for who gathers metrics. Also of a pod that is not ready.
apiVersion: v1
kind: Service
metadata: {{- include "tovar.metadata" (list . "ops" (printf "%s-ops" $name)) | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "tovar.selector" (list . "service") | nindent 4 }}
  ports:
    - {name: ops, port: 9090, targetPort: ops}
    {{- if eq $o.relay.mode "sidecar" }}
    - {name: relay-ops, port: 9091, targetPort: 9091}
    {{- end }}
{{ include "tovar.serviceDeployment" (list . $o) }}
{{- if eq $o.relay.mode "deployment" }}
{{ include "tovar.relayDeployment" (list . $o) }}
{{- end }}
{{- include "tovar.scaling" (list . $o "service") }}
{{- include "tovar.postgres" . }}
{{- include "tovar.servicePolicies" (list . $o) }}
{{- end }}

{{/* The secret settings that are not in a secret of the operator's own: made once, and kept. */}}
{{- define "tovar.serviceSecret" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- $name := include "tovar.name" $root -}}
{{- $known := ((lookup "v1" "Secret" $root.Release.Namespace $name).data) | default dict }}
---
apiVersion: v1
kind: Secret
metadata: {{- include "tovar.metadata" (list $root "service" $name) | nindent 2 }}
  # As lasting as the rows in the database that came of it.
  annotations: {helm.sh/resource-policy: keep}
stringData:
  {{- range $variable, $from := $o.secretEnv }}
  {{- if not $from.existingSecret }}
  {{ $from.key }}: {{ include "tovar.kept" (dict "in" $known "key" $from.key) | quote }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* The settings of the service's program. */}}
{{- define "tovar.serviceEnv" -}}
{{- $root := first . -}}{{- $o := last . -}}
- {name: HTTP_LISTEN, value: "0.0.0.0:8080"}
- {name: OPS_LISTEN, value: "0.0.0.0:9090"}
- {name: LOG_FORMAT, value: json}
{{- include "tovar.tlsEnv" . }}
{{- include "tovar.databaseEnv" $root }}
{{- include "tovar.kafkaEnv" (list $root $root.Chart.Name) }}
{{- include "tovar.tracesEnv" $root }}
{{- range $variable, $from := $o.secretEnv }}
- {name: {{ $variable }}, value: "file:/etc/tovar-secrets/{{ $from.key }}"}
{{- end }}
{{- include "tovar.env" $o.env }}
{{- end }}

{{- define "tovar.relayContainer" -}}
{{- $root := first . -}}{{- $o := last . -}}
image: {{ include "tovar.image" (list $root $root.Chart.Name) }}
imagePullPolicy: {{ include "tovar.pullPolicy" $root }}
command: [/usr/local/bin/outbox-relay]
securityContext: {{- include "tovar.containerSecurity" $root | nindent 2 }}
env:
  - {name: OPS_LISTEN, value: "0.0.0.0:9091"}
  - {name: LOG_FORMAT, value: json}
  - {name: RELAY_SOURCE, value: /tovar/{{ $root.Chart.Name }}}
  {{- include "tovar.databaseEnv" $root | nindent 2 }}
  {{- include "tovar.kafkaEnv" (list $root (printf "%s-relay" $root.Chart.Name)) | nindent 2 }}
  {{- include "tovar.tracesEnv" $root | nindent 2 }}
  {{- include "tovar.env" $o.relay.env | nindent 2 }}
ports: [{name: relay-ops, containerPort: 9091}]
{{ include "tovar.probes" "relay-ops" }}
resources: {{- toYaml $o.relay.resources | nindent 2 }}
volumeMounts: [{name: relay-files, mountPath: /etc/tovar, readOnly: true}]
{{- end }}

{{/* The settings of who runs migrations, and where the file of the database's owner is mounted. */}}
{{- define "tovar.ownerEnv" -}}
- {name: MIGRATION_DATABASE_URL, value: "file:/etc/tovar-owner/database-url"}
{{- end }}
{{- define "tovar.ownerMount" -}}
- {name: owner-files, mountPath: /etc/tovar-owner, readOnly: true}
{{- end }}

{{/* What must not stand in a variable, as files: the service's own, */}}
{{- define "tovar.files" -}}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- include "tovar.databaseFiles" (list . "service") | nindent 6 }}
      {{- include "tovar.kafkaFiles" (list . .Chart.Name) | nindent 6 }}
{{- end }}

{{/* its relay's, */}}
{{- define "tovar.relayFiles" -}}
- name: relay-files
  projected:
    defaultMode: 0440
    sources:
      {{- include "tovar.databaseFiles" (list . "relay") | nindent 6 }}
      {{- include "tovar.kafkaFiles" (list . (printf "%s-relay" .Chart.Name)) | nindent 6 }}
{{- end }}

{{/* the database's owner's, for migrations, */}}
{{- define "tovar.ownerFiles" -}}
- name: owner-files
  projected:
    defaultMode: 0440
    sources:
      {{- include "tovar.databaseFiles" (list . "owner") | nindent 6 }}
{{- end }}

{{/* and what only the service may know. */}}
{{- define "tovar.secretFiles" -}}
{{- $root := first . -}}{{- $o := last . -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $variable, $from := $o.secretEnv }}
      - secret:
          name: {{ $from.existingSecret | default (include "tovar.name" $root) }}
          items: [{key: {{ $from.key }}, path: {{ $from.key }}}]
      {{- end }}
{{- end }}

{{- define "tovar.serviceDeployment" -}}
{{- $root := first . -}}{{- $o := last . }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "tovar.metadata" (list $root "service" (include "tovar.name" $root)) | nindent 2 }}
spec:
  {{- if not $o.autoscaling.by }}
  replicas: {{ $o.replicas }}
  {{- end }}
  # A new pod is ready before an old one is told to end.
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector:
    matchLabels: {{- include "tovar.selector" (list $root "service") | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "tovar.labels" (list $root "service") | nindent 8 }}
        {{- with $o.podLabels }}{{ toYaml . | nindent 8 }}{{- end }}
      {{- with $o.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "tovar.podBase" $root | nindent 6 }}
      securityContext: {{- include "tovar.podSecurity" (dict "user" 65532) | nindent 8 }}
      terminationGracePeriodSeconds: {{ $o.terminationGracePeriodSeconds }}
      {{- include "tovar.placement" (list $root "service" $o) | nindent 6 }}
      {{- if or $o.migrations.initContainer (eq $o.relay.mode "sidecar") }}
      initContainers:
        {{- if $o.migrations.initContainer }}
        # Under a lock in the database, so that several pods may start at once.
        - name: migrate
          image: {{ include "tovar.image" (list $root $root.Chart.Name) }}
          imagePullPolicy: {{ include "tovar.pullPolicy" $root }}
          securityContext: {{- include "tovar.containerSecurity" $root | nindent 12 }}
          env:
            - {name: MIGRATE_ONLY, value: "true"}
            {{- include "tovar.ownerEnv" $root | nindent 12 }}
            {{- include "tovar.serviceEnv" (list $root $o) | nindent 12 }}
          resources: {{- toYaml $o.resources | nindent 12 }}
          volumeMounts:
            {{- include "tovar.ownerMount" $root | nindent 12 }}
            - {name: files, mountPath: /etc/tovar, readOnly: true}
            - {name: secrets, mountPath: /etc/tovar-secrets, readOnly: true}
        {{- end }}
        {{- if eq $o.relay.mode "sidecar" }}
        # With this policy it starts before the service and is stopped after it: the last rows are sent.
        - name: relay
          restartPolicy: Always
          {{- include "tovar.relayContainer" (list $root $o) | nindent 10 }}
        {{- end }}
      {{- end }}
      containers:
        - name: service
          image: {{ include "tovar.image" (list $root $root.Chart.Name) }}
          imagePullPolicy: {{ include "tovar.pullPolicy" $root }}
          securityContext: {{- include "tovar.containerSecurity" $root | nindent 12 }}
          env:
            {{- if not $o.migrations.initContainer }}
            {{- include "tovar.ownerEnv" $root | nindent 12 }}
            {{- end }}
            {{- include "tovar.serviceEnv" (list $root $o) | nindent 12 }}
          ports:
            - {name: http, containerPort: 8080}
            {{- if eq $root.Chart.Name "users" }}
            - {name: https, containerPort: 8443}
            {{- end }}
            - {name: ops, containerPort: 9090}
          {{- include "tovar.probes" "ops" | nindent 10 }}
          # Requests still arrive until all have heard that this pod is leaving.
          lifecycle: {preStop: {sleep: {seconds: {{ $o.preStopSeconds }}}}}
          resources: {{- toYaml $o.resources | nindent 12 }}
          volumeMounts:
            {{- if not $o.migrations.initContainer }}
            {{- include "tovar.ownerMount" $root | nindent 12 }}
            {{- end }}
            - {name: files, mountPath: /etc/tovar, readOnly: true}
            - {name: secrets, mountPath: /etc/tovar-secrets, readOnly: true}
            {{- if include "tovar.tls" (list $root $o) }}
            - {name: tls, mountPath: /etc/tovar-tls, readOnly: true}
            {{- end }}
      volumes:
        {{- include "tovar.files" $root | nindent 8 }}
        {{- include "tovar.ownerFiles" $root | nindent 8 }}
        {{- if eq $o.relay.mode "sidecar" }}
        {{- include "tovar.relayFiles" $root | nindent 8 }}
        {{- end }}
        {{- include "tovar.secretFiles" (list $root $o) | nindent 8 }}
        {{- include "tovar.tlsVolume" (list $root $o) | nindent 8 }}
{{- end }}

{{/* The relay in pods of its own. */}}
{{- define "tovar.relayDeployment" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- $name := printf "%s-relay" (include "tovar.name" $root) }}
---
apiVersion: v1
kind: Service
metadata: {{- include "tovar.metadata" (list $root "ops" (printf "%s-ops" $name)) | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "tovar.selector" (list $root "relay") | nindent 4 }}
  ports: [{name: relay-ops, port: 9091, targetPort: 9091}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "tovar.metadata" (list $root "relay" $name) | nindent 2 }}
spec:
  replicas: {{ $o.relay.replicas }}
  selector:
    matchLabels: {{- include "tovar.selector" (list $root "relay") | nindent 6 }}
  template:
    metadata:
      labels: {{- include "tovar.labels" (list $root "relay") | nindent 8 }}
    spec:
      {{- include "tovar.podBase" $root | nindent 6 }}
      securityContext: {{- include "tovar.podSecurity" (dict "user" 65532) | nindent 8 }}
      terminationGracePeriodSeconds: {{ $o.terminationGracePeriodSeconds }}
      {{- include "tovar.placement" (list $root "relay" $o) | nindent 6 }}
      containers:
        - name: relay
          {{- include "tovar.relayContainer" (list $root $o) | nindent 10 }}
      volumes: {{- include "tovar.relayFiles" $root | nindent 8 }}
{{- if gt (int $o.relay.replicas) 1 }}
{{ include "tovar.disruption" (list $root $o "relay" $name) }}
{{- end }}
{{- end }}
