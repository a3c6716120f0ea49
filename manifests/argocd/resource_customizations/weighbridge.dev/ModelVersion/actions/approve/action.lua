local os = require("os")

-- Argo CD creates it with its own account, whatever person clicks: that account is the approver, and the cluster lets it be one only
-- if Weighbridge's approvals.serviceAccounts lists it. On another cluster, or with impersonation, the account is another one.
local approval = {}
approval.apiVersion = obj.apiVersion
approval.kind = "ModelApproval"
approval.metadata = {}
approval.metadata.name = obj.metadata.name .. "-approve-" .. os.date("!%Y%m%d%H%M%S")
approval.metadata.namespace = obj.metadata.namespace
-- A child of the version: Argo CD shows it there and does not prune it.
local owner = {}
owner.apiVersion = obj.apiVersion
owner.kind = obj.kind
owner.name = obj.metadata.name
owner.uid = obj.metadata.uid
approval.metadata.ownerReferences = {owner}
approval.spec = {}
approval.spec.modelVersionRef = {["name"] = obj.metadata.name}
approval.spec.stage = obj.status.approvals.stage
approval.spec.decision = "Approve"
approval.spec.subjectHash = obj.status.approvals.subjectHash
approval.spec.approver = "system:serviceaccount:argocd:argocd-server"
approval.spec.comment = "decided in Argo CD; its audit log says by whom"

return {{["operation"] = "create", ["resource"] = approval}}
