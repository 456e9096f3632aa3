"""A Kubernetes control plane on this machine: kube-apiserver with its etcd."""
