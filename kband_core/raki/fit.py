from __future__ import annotations
import math,time
import torch
from torch import Tensor
from kband_core.raki.footprint import *
from kband_core.raki.network import RakiNetwork, complex_leaky_relu
from kband_core.raki.closed_form import *

def train(acs, acceleration, layers, *, slope, rates, targets_all=False):
    n_off = acceleration - 1 + targets_all
    kernel=tuple(layers[0].shape[-2:])
    sources=calibration_columns(acs,acceleration,kernel)
    targets=calibration_targets(acs,acceleration,kernel,n_off)
    last=layers[-1].shape[-1]
    before=kernel[1]//2+last//2
    n=sources.shape[-1]-last+1
    targets=targets[...,before:before+n].flatten(-2)
    layers=[l.clone().requires_grad_() for l in layers]
    opt=torch.optim.Adam(layers)
    for r in rates:
        opt.param_groups[0]['lr']=r
        opt.zero_grad()
        cols=hidden_columns(layers[:-1],sources,last,slope=slope)
        res=layers[-1].flatten(-3)@cols.flatten(-2)-targets
        loss=torch.view_as_real(res).square().sum()/(res.shape[-1]*res.shape[-2])
        loss.backward()
        opt.step()
    return tuple(l.detach() for l in layers)

def init(acs,R,hidden,rng,kernel=(2,5),last=5,n_off=None):
    C=acs.shape[-3]
    n_off=n_off or R-1
    shapes=[(hidden[0],C,*kernel)]+[(b,a,1,1) for a,b in zip(hidden,hidden[1:])]+[(C*n_off,hidden[-1],1,last)]
    return [random_weights(s,rng,acs)/math.prod(s[1:])**.5 for s in shapes]

def one_cycle(peak,n,start=1/25,end=1e-4,rise=.3):
    out=[]
    up=max(int(rise*n)-1,1)
    for i in range(n):
        if i<=up: a=i/up; out.append(peak*(start+(1-start)*(1-math.cos(math.pi*a))/2))
        else:
            a=(i-up)/(n-1-up); out.append(peak*(end+(1-end)*(1+math.cos(math.pi*a))/2))
    return out
